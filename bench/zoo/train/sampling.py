"""A look at a picture while it is sampled from noise, with gradients through the last step alone.

Sampling is the attack's: DPM-Solver++ and classifier-free guidance, in fewer steps. Xu et al., "ImageReward" (2023,
algorithm 1) train a whole base in this way, on what a reward model says of the estimate.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from diffusers import DPMSolverMultistepScheduler
from torch import Tensor

STEPS = 10
"""Of the solver."""
FIRST = 3
"""The first of them whose estimate shows enough to look at."""
GUIDANCE = 3.0

Predict = Callable[[Tensor, Tensor], Tensor]
"""(n, 4, h, w) latents and one timestep -> the predicted noise."""


def glimpse(told: Predict, free: Predict, latents: Tensor, config: Any, random: torch.Generator) -> Tensor:
    """The estimate of the clean latents at a random late step of sampling.

    Args:
        told: the prediction with the condition; gradients go through its last call.
        free: without the condition; never differentiated, or training could as well make it the opposite.
        latents: (n, 4, h, w) standard normal.
        config: of the noise schedule's scheduler, for epsilon prediction.
        random: says at which step.
    """
    solver = DPMSolverMultistepScheduler.from_config(config)
    solver.set_timesteps(STEPS)
    last = int(torch.randint(FIRST, STEPS, (1,), generator=random))
    for t in solver.timesteps[:last]:
        with torch.no_grad():
            noise = _guided(told(latents, t), free(latents, t))
        latents = solver.step(noise, t, latents).prev_sample
    t = solver.timesteps[last]
    with torch.no_grad():
        away = free(latents, t)
    return clean(latents, _guided(told(latents, t), away), solver.alphas_cumprod[t])


def clean(noised: Tensor, predicted: Tensor, signal: Tensor) -> Tensor:
    """The latents (n, 4, h, w) that a prediction of the noise in them implies, at the schedule's share of `signal`."""
    estimate: Tensor = (noised - (1 - signal).sqrt() * predicted) / signal.sqrt()
    return estimate


def _guided(told: Tensor, free: Tensor) -> Tensor:
    return free + GUIDANCE * (told - free)
