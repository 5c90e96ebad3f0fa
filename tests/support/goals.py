"""What cloaks are after, and how far they get."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from defenses.targets import pattern

PROMPT = "a photo of sks person"


Goal = Callable[[DiffusionModel, Tensor, Tensor], float]
"""Of a base, photos and the clean photos; larger is better for the defender."""


@torch.no_grad()
def loss(base: DiffusionModel, photos: Tensor, clean: Tensor) -> float:
    condition, latents = base.condition([PROMPT]).expand(len(photos)), base.encode(photos)
    draws = [base.denoising_errors(latents, condition, generator("test", i)).mean() for i in range(24)]
    return float(torch.stack(draws).mean())


@torch.no_grad()
def purifier_errs(base: DiffusionModel, photos: Tensor, clean: Tensor) -> float:
    """The error at the timesteps that a purifier uses, without a caption."""
    condition, latents, errors = base.unconditional().expand(len(photos)), base.encode(photos), []
    for index in range(24):
        draw = generator("test", index)
        timesteps = torch.randint(0, 10, (len(photos),), generator=draw)
        noise = torch.randn(latents.shape, generator=draw)
        predicted = base.predict(base.add_noise(latents, noise, timesteps), timesteps, condition)
        errors.append(F.mse_loss(predicted, noise))
    return float(torch.stack(errors).mean())


@torch.no_grad()
def first_predicted(base: DiffusionModel, photos: Tensor, clean: Tensor) -> float:
    """Mean square of the noise predicted half-way up the schedule, without a caption."""
    condition, latents, sizes = base.unconditional().expand(len(photos)), base.encode(photos), []
    for index in range(24):
        noise = torch.randn(latents.shape, generator=generator("test", index))
        timesteps = torch.full((len(photos),), 500)
        sizes.append(base.predict(base.add_noise(latents, noise, timesteps), timesteps, condition).square().mean())
    return float(torch.stack(sizes).mean())


@torch.no_grad()
def grey(base: DiffusionModel, photos: Tensor, clean: Tensor) -> float:
    return -float(base.encode(photos).square().mean())


@torch.no_grad()
def shifted(base: DiffusionModel, photos: Tensor, clean: Tensor) -> float:
    return float((base.encode(photos) - base.encode(clean)).square().mean())


@torch.no_grad()
def predicts_the_pattern(base: DiffusionModel, photos: Tensor, clean: Tensor) -> float:
    condition, latents = base.condition([PROMPT]).expand(len(photos)), base.encode(photos)
    wanted, distances = base.encode(pattern(base.side)), []
    for index in range(24):
        draw = generator("test", index)
        timesteps = base.random_timesteps(len(photos), draw)
        noise = torch.randn(latents.shape, generator=draw)
        predicted = base.predict(base.add_noise(latents, noise, timesteps), timesteps, condition)
        distances.append(F.mse_loss(predicted, wanted.expand_as(predicted)))
    return -float(torch.stack(distances).mean())
