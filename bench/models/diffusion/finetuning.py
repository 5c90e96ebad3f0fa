"""The one trainer: the denoising loss on a few photos, with optional prior preservation.

Attacks personalise with it; defenses that imitate an attacker train their surrogates with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence

from bench.core.deferred import Tensor, torch
from bench.models.diffusion.base import Condition, DiffusionModel, Posterior, learns
from bench.models.diffusion.recipe import Recipe


def finetune(
    base: DiffusionModel,
    weights: Sequence[torch.nn.Parameter],
    photos: Posterior,
    recipe: Recipe,
    generator: torch.Generator,
    class_images: Posterior | None = None,
    progress: Callable[[float], None] | None = None,
    start: int = 0,
) -> None:
    """Train `weights` in place on the person's photos (DreamBooth, Ruiz et al., CVPR 2023, eq. 2).

    Instance and class losses are two means over `batch` pictures each, of one pass through the UNet. Latents are
    sampled anew from the cached posterior at every step. All randomness comes from `generator`.

    Args:
        base: the model that `weights` belong to.
        weights: what to train; everything else stays frozen.
        photos: posterior of the person's photos, (n, c, h, w).
        recipe: how.
        generator: CPU generator.
        class_images: posterior of class pictures; None leaves the prior loss out.
        progress: called with the share done.
        start: how many photos earlier fine-tuning have taken; these go on with the next, in turn.
    """
    optimizer = _adamw(base)(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay)
    others = _in_turns(class_images, recipe.batch, generator) if class_images is not None else None
    told = _captions(base)
    for step in range(recipe.steps):
        turn = (torch.arange(recipe.batch) + start + step * recipe.batch) % len(photos.mean)
        latents, condition = photos.sample(generator, turn), told(recipe.prompt).expand(recipe.batch)
        if others is not None:
            latents = torch.cat([latents, next(others)])
            condition = condition.beside(told(recipe.class_prompt).expand(recipe.batch))
        errors = base.denoising_errors(latents, condition, generator)
        loss = errors[: recipe.batch].mean()
        if others is not None:
            loss = loss + recipe.prior_weight * errors[recipe.batch :].mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, recipe.max_norm)
        optimizer.step()
        if progress is not None:
            progress((step + 1) / recipe.steps)


def _adamw(base: DiffusionModel) -> Callable[..., torch.optim.Optimizer]:
    """AdamW; with little memory on a GPU, one that keeps its state in 8 bits: 2 bytes a weight instead of 8."""
    if base.computing.memory == "low" and base.device.type == "cuda":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit  # type: ignore[no-any-return]
    return functools.partial(torch.optim.AdamW, fused=True)


def _captions(base: DiffusionModel) -> Callable[[str], Condition]:
    """Reads a prompt: once, if what reads it does not learn."""

    def read(prompt: str) -> Condition:
        return base.condition([prompt])

    return read if any(map(learns, base.text_encoders)) else functools.cache(read)


def _in_turns(class_images: Posterior, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Latents of `count` class pictures at a time, every picture once before any comes again."""
    queue = torch.empty(0, dtype=torch.long)
    while True:
        while len(queue) < count:
            queue = torch.cat([queue, torch.randperm(len(class_images.mean), generator=generator)])
        yield class_images.sample(generator, queue[:count])
        queue = queue[count:]
