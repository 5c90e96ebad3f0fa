"""Projected gradient ascent inside an L-infinity ball: the one optimiser that all cloaks share."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.types import Budget


def ascend(
    cloaked: Tensor,
    clean: Tensor,
    objective: Callable[[Tensor], Tensor],
    budget: Budget,
    step: float,
    steps: int,
    progress: Callable[[float], None] | None = None,
    last_step: float | None = None,
) -> Tensor:
    """Signed gradient ascent (Madry et al. 2018, eq. 3) from `cloaked`, staying within `budget` of `clean`.

    Args:
        cloaked: (n, 3, h, w) in [0, 1], the starting point.
        clean: (n, 3, h, w) in [0, 1], centre of the ball.
        objective: photos -> scalar to be made large; drawn anew at every step.
        budget: radius of the ball, whole grey levels.
        step: step size in grey levels of 255.
        steps: number of steps.
        progress: called with the share done.
        last_step: size that the steps fall to, linearly; None keeps them the same.

    Returns:
        (n, 3, h, w) in [0, 1], detached.
    """
    last_step = step if last_step is None else last_step
    for done in range(steps):
        photos = cloaked.detach().requires_grad_(True)
        (gradient,) = torch.autograd.grad(objective(photos), photos)
        size = step + (last_step - step) * done / max(1, steps - 1)
        cloaked = project(photos.detach() + size / 255 * gradient.sign(), clean, budget)
        if progress is not None:
            progress((done + 1) / steps)
    return cloaked.detach()


def project(cloaked: Tensor, clean: Tensor, budget: Budget) -> Tensor:
    """The nearest photos within the budget of `clean` and within [0, 1]."""
    return torch.minimum(torch.maximum(cloaked, clean - budget.radius), clean + budget.radius).clamp(0, 1)
