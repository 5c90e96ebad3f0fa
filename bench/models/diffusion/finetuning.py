"""The one trainer: the denoising loss on a few photos, with optional prior preservation.

Attacks personalise with it; defenses that imitate an attacker train their surrogates with it.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import TypeVar

from bench.core.deferred import Tensor, torch
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from bench.models.diffusion.devices import randn
from bench.models.diffusion.latents import Posterior
from bench.models.diffusion.parts import learns
from bench.models.diffusion.recipe import Recipe

D = TypeVar("D")
Drawn = tuple[Tensor, Tensor, Tensor]
"""Latents (n, c, h, w) of a step, timesteps (n,) and noise."""


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
    told, with_class = _captions(base), class_images is not None

    def loss(drawn: Drawn) -> Tensor:
        condition = told(recipe.prompt).expand(recipe.batch)
        if with_class:
            condition = condition.beside(told(recipe.class_prompt).expand(recipe.batch))
        return _loss(base, drawn, condition, recipe, with_class)

    def clip() -> None:
        torch.nn.utils.clip_grad_norm_(weights, recipe.max_norm)

    _descend(
        optimizer, _draws(base, photos, recipe, generator, class_images, start), loss, clip, recipe.steps, progress
    )


def finetune_many(
    base: DiffusionModel,
    weights: Sequence[torch.nn.Parameter],
    photos: Sequence[Posterior],
    recipe: Recipe,
    generators: Sequence[torch.Generator],
    class_images: Sequence[Posterior | None],
    progress: Callable[[float], None] | None = None,
) -> None:
    """Train weights of several people at once, through one frozen network.

    Each person has the draws, the loss and the clipping of `finetune`, so that the result is that of training alone but
    for rounding. Nothing is computed across people, and every pass has a batch of the same shape: who the others are
    does not change a bit, only how many there are does. AdamW's state is kept in full, as blocks of 8 bits would be
    shared by neighbours.

    Args:
        base: the model that `weights` belong to. In a batch, and among the prompts, a person's rows lie side by side.
        weights: what to train, each (people, ...).
        photos: of each person, (n, c, h, w).
        recipe: how, the same for all.
        generators: a CPU generator of each person's own.
        class_images: posterior of class pictures for each person; None for all leaves the prior loss out.
        progress: called with the share done.
    """
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    with_class = class_images[0] is not None
    prompts = [recipe.prompt, recipe.class_prompt] if with_class else [recipe.prompt]
    told = _captions(base)
    people = [
        _draws(base, own, recipe, generator, others)
        for own, generator, others in zip(photos, generators, class_images, strict=True)
    ]

    def loss(draws: Sequence[Drawn]) -> Tensor:
        latents, timesteps, noise = map(torch.cat, zip(*draws, strict=True))
        condition = told(*prompts * len(people)).expand(recipe.batch)
        return _loss(base, (latents, timesteps, noise), condition, recipe, with_class)

    def clip() -> None:
        _clip_each(weights, recipe.max_norm)

    _descend(optimizer, zip(*people, strict=True), loss, clip, recipe.steps, progress)


def _descend(
    optimizer: torch.optim.Optimizer,
    draws: Iterable[D],
    loss: Callable[[D], Tensor],
    clip: Callable[[], None],
    steps: int,
    progress: Callable[[float], None] | None,
) -> None:
    """A step for each of the draws, of which there are so many."""
    for step, drawn in enumerate(draws):
        optimizer.zero_grad()
        loss(drawn).backward()  # type: ignore[no-untyped-call]
        clip()
        optimizer.step()
        if progress is not None:
            progress((step + 1) / steps)


def _draws(
    base: DiffusionModel,
    photos: Posterior,
    recipe: Recipe,
    generator: torch.Generator,
    class_images: Posterior | None = None,
    start: int = 0,
) -> Iterator[Drawn]:
    """All that is random in each step of one person's training: `batch` photos, then as many class pictures."""
    others = _in_turns(class_images, recipe.batch, generator) if class_images is not None else None
    for step in range(recipe.steps):
        turn = (torch.arange(recipe.batch) + start + step * recipe.batch) % len(photos.mean)
        latents = photos.sample(generator, turn)
        if others is not None:
            latents = torch.cat([latents, next(others)])
        timesteps = base.random_timesteps(len(latents), generator)
        yield latents, timesteps, randn(latents.shape, generator, base.device)


def _loss(base: DiffusionModel, drawn: Drawn, condition: Condition, recipe: Recipe, with_class: bool) -> Tensor:
    """Sum over people of the mean error of their photos and, `with_class` pictures, that of these, weighted."""
    latents, timesteps, noise = drawn
    errors = base.errors_at(latents, condition, timesteps, noise)
    means = errors.reshape(-1, 2 if with_class else 1, recipe.batch).mean(dim=2)
    return means[:, 0].sum() + recipe.prior_weight * means[:, 1:].sum()


def _clip_each(weights: Sequence[torch.nn.Parameter], most: float) -> None:
    """Clip the norm of each person's gradients, as `clip_grad_norm_` does for one.

    Norms are summed row by row: down the columns, the last ones would be rounded otherwise.
    """
    gradients = [weight.grad for weight in weights if weight.grad is not None]
    norms = torch.stack([torch.linalg.vector_norm(each.flatten(1), dim=1) for each in gradients], dim=1)
    factors = (most / (torch.linalg.vector_norm(norms, dim=1) + 1e-6)).clamp(max=1)
    for each in gradients:
        each.mul_(factors.reshape(-1, *[1] * (each.ndim - 1)))


def _adamw(base: DiffusionModel) -> Callable[..., torch.optim.Optimizer]:
    """AdamW; with little memory on a GPU, one that keeps its state in 8 bits: 2 bytes a weight instead of 8."""
    if base.computing.memory == "low" and base.device.type == "cuda":
        from bitsandbytes.optim import AdamW8bit

        return AdamW8bit  # type: ignore[no-any-return]
    return functools.partial(torch.optim.AdamW, fused=True)


def _captions(base: DiffusionModel) -> Callable[..., Condition]:
    """Reads prompts: once, if what reads them does not learn."""

    def read(*prompts: str) -> Condition:
        return base.condition(prompts)

    return read if any(map(learns, base.text_encoders)) else functools.cache(read)


def _in_turns(class_images: Posterior, count: int, generator: torch.Generator) -> Iterator[Tensor]:
    """Latents of `count` class pictures at a time, every picture once before any comes again."""
    queue = torch.empty(0, dtype=torch.long)
    while True:
        while len(queue) < count:
            queue = torch.cat([queue, torch.randperm(len(class_images.mean), generator=generator)])
        yield class_images.sample(generator, queue[:count])
        queue = queue[count:]
