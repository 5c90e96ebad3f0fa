"""Which timesteps a cloak bites at: SimAC's greedy choice, photo by photo."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.core.types import Budget
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from bench.models.diffusion.devices import to_device
from defenses.objectives import Timesteps, caption, denoise
from defenses.pgd import project

CANDIDATES = 5
"""Timesteps compared per round."""
WINDOW = 20
"""Neighbours of a weak timestep, on both sides, that go with it."""
KEEP = 100
"""How many timesteps may be left at the end."""
ROUNDS = 50
"""Most rounds."""
SEARCH = 165
"""Evaluations a photo that the choice takes, about: rounds are random, 33 in the mean."""


def greedy_timesteps(
    base: DiffusionModel, photos: Tensor, prompt: str, budget: Budget, step: float, generator: torch.Generator
) -> Timesteps:
    """Choose the timesteps at which the loss has the largest gradient (SimAC, Wang et al., CVPR 2024).

    Each round compares five of the timesteps that are left, drops the weakest and its neighbours, and moves the photos
    at the strongest, so that the choice follows the cloak. All photos go through the rounds together, each with its own
    timesteps; there, one photo after another.

    Returns:
        A function that draws (n,) timesteps, one per photo from those left for it.
    """
    count, length = len(photos), base.length
    left = torch.ones(count, length, dtype=torch.bool)
    condition, cloaked = caption(base, prompt, count), photos
    for _ in range(ROUNDS):
        busy = left.sum(dim=1) > KEEP
        if not busy.any():
            break
        drawn = torch.multinomial(left.float(), CANDIDATES, generator=generator)
        gradients = [_gradient(base, cloaked, condition, drawn[:, i], generator) for i in range(CANDIDATES)]
        sizes = torch.stack([gradient.abs().sum(dim=(1, 2, 3)) for gradient in gradients])
        weakest = drawn.gather(1, sizes.cpu().argmin(dim=0)[:, None])
        left &= ~(((torch.arange(length) - weakest).abs() <= WINDOW) & busy[:, None])
        strongest = torch.stack(gradients)[sizes.argmax(dim=0), torch.arange(count, device=sizes.device)]
        cloaked = project(cloaked + step / 255 * strongest.sign(), photos, budget)
    chances = left.float()
    return lambda: to_device(torch.multinomial(chances, 1, generator=generator)[:, 0], base.device)


def _gradient(
    base: DiffusionModel, photos: Tensor, condition: Condition, timesteps: Tensor, generator: torch.Generator
) -> Tensor:
    photos = photos.detach().requires_grad_(True)
    error = denoise(base, photos, condition, generator, lambda: to_device(timesteps, base.device)).error
    return torch.autograd.grad(error, photos)[0]
