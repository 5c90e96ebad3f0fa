"""The trainer that every fine-tuning attack shares: the denoising loss on a few photos, with optional prior."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.models.base import Base, Posterior


@dataclass(frozen=True)
class Recipe:
    """How to fine-tune.

    Attributes:
        steps: optimiser steps.
        learning_rate: AdamW learning rate, constant.
        batch: photos per step; the photos are gone through in turn, with fresh noise each time.
        weight_decay: AdamW weight decay.
        prompt: caption of the person's photos.
        prior_weight: weight of the prior-preservation loss on class pictures; 0 leaves it out.
        class_prompt: caption of the class pictures.
        max_norm: gradient-norm clip.
    """

    steps: int
    learning_rate: float
    batch: int
    weight_decay: float = 1e-2
    prompt: str = "a photo of sks person"
    prior_weight: float = 0.0
    class_prompt: str = "a photo of person"
    max_norm: float = 1.0


def finetune(
    base: Base,
    weights: Sequence[torch.nn.Parameter],
    photos: Posterior,
    recipe: Recipe,
    generator: torch.Generator,
    strangers: Posterior | None = None,
    progress: Callable[[float], None] = lambda share: None,
) -> None:
    """Train `weights` in place on the person's photos (DreamBooth, Ruiz et al., CVPR 2023, eq. 2).

    Instance and class losses are two means over `batch` pictures each. Latents are sampled anew from the cached
    posterior at every step. All randomness comes from `generator`.

    Args:
        base: the model that `weights` belong to.
        weights: what to train; everything else stays frozen.
        photos: posterior of the person's photos, (n, c, h, w).
        recipe: how.
        generator: CPU generator.
        strangers: posterior of class pictures, needed when `recipe.prior_weight` is not 0.
        progress: called with the share done.
    """
    optimizer = torch.optim.AdamW(weights, lr=recipe.learning_rate, weight_decay=recipe.weight_decay, fused=True)
    prior_order = _endless(strangers, generator)
    for step in range(recipe.steps):
        turn = torch.arange(step * recipe.batch, (step + 1) * recipe.batch) % len(photos.mean)
        condition = base.condition([recipe.prompt]).expand(recipe.batch)
        loss = base.denoising_errors(photos.sample(generator, turn), condition, generator).mean()
        if strangers is not None and recipe.prior_weight:
            chosen = strangers.sample(generator, prior_order(recipe.batch))
            prior = base.condition([recipe.class_prompt]).expand(recipe.batch)
            loss = loss + recipe.prior_weight * base.denoising_errors(chosen, prior, generator).mean()
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, recipe.max_norm)
        optimizer.step()
        progress((step + 1) / recipe.steps)


def _endless(strangers: Posterior | None, generator: torch.Generator) -> Callable[[int], Tensor]:
    """Indices of class pictures, every picture once before any comes again."""
    queue = torch.empty(0, dtype=torch.long)

    def draw(count: int) -> Tensor:
        nonlocal queue
        assert strangers is not None
        while len(queue) < count:
            queue = torch.cat([queue, torch.randperm(len(strangers.mean), generator=generator)])
        chosen, queue = queue[:count], queue[count:]
        return chosen

    return draw
