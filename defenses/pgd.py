"""Projected gradient ascent inside an L-infinity ball: the one optimiser that all cloaks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.types import Budget


def ascend(
    cloaked: Tensor, clean: Tensor, objective: Callable[[Tensor], Tensor], budget: Budget, step: float, steps: int
) -> Tensor:
    """Signed gradient ascent (Madry et al. 2018, eq. 3) from `cloaked`, staying within `budget` of `clean`.

    Args:
        cloaked: (n, 3, h, w) in [0, 1], the starting point.
        clean: (n, 3, h, w) in [0, 1], centre of the ball.
        objective: photos -> scalar to be made large; drawn anew at every step.
        budget: radius of the ball, whole grey levels.
        step: step size in grey levels of 255.
        steps: number of steps.

    Returns:
        (n, 3, h, w) in [0, 1], detached.
    """
    for _ in range(steps):
        photos = cloaked.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(photos), photos)
        cloaked = project(photos.detach() + step / 255 * gradient.sign(), clean, budget)
    return cloaked.detach()


def project(cloaked: Tensor, clean: Tensor, budget: Budget) -> Tensor:
    """The nearest photos within the budget of `clean` and within [0, 1]."""
    return torch.minimum(torch.maximum(cloaked, clean - budget.radius), clean + budget.radius).clamp(0, 1)
