"""Projected gradient ascent inside an L-infinity ball: the one optimiser that all cloaks share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

from bench.core.deferred import Tensor, torch
from bench.core.types import Budget

Objective = Callable[[Tensor], Tensor]
"""Photos (n, 3, h, w) in [0, 1] -> a scalar to be made large. It may draw noise anew at every call."""

Size = float | Callable[[float], float | Tensor]
"""Size of a step in grey levels of 255, or a function of the share done, in [0, 1), that gives it: a number, or one
per photo as (n, 1, 1, 1). It is called after the objective."""


def pgd(
    cloaked: Tensor,
    clean: Tensor,
    objective: Objective,
    budget: Budget,
    step: Size,
    steps: int,
    *,
    norm: Literal["linf", "l2"] = "linf",
    draws: int = 1,
    momentum: float = 0.0,
    after_backward: Callable[[], None] | None = None,
    progress: Callable[[float], None] | None = None,
) -> Tensor:
    """Gradient ascent (Madry et al. 2018, eq. 3) from `cloaked`, staying within `budget` of `clean`.

    Args:
        cloaked: (n, 3, h, w) in [0, 1], the starting point.
        clean: (n, 3, h, w) in [0, 1], centre of the ball.
        objective: what to make large; negate what is to be made small.
        budget: radius of the L-infinity ball, whole grey levels.
        step: size of a step.
        steps: number of steps.
        norm: "linf" moves every value by the step in the direction of its gradient's sign; "l2" moves each photo along
            its gradient, by the step as the root mean square over its values.
        draws: gradients of so many calls of the objective are averaged (expectation over its noise and transforms).
        momentum: share of the former direction that is kept (Dong et al. 2018, "Boosting adversarial attacks with
            momentum", eq. 6); 0 is plain ascent.
        after_backward: called after each step's backward pass, in which trainable weights have received gradients too.
        progress: called with the share done.

    Returns:
        (n, 3, h, w) in [0, 1], detached.
    """
    direction = torch.zeros_like(clean)
    for done in range(steps):
        photos = cloaked.detach().requires_grad_(True)
        for _ in range(draws):
            (objective(photos) / draws).backward()  # type: ignore[no-untyped-call]
        if after_backward is not None:
            after_backward()
        assert photos.grad is not None
        size = step(done / steps) if callable(step) else step
        direction = momentum * direction + _per_photo(photos.grad, "l1") if momentum else photos.grad
        move = direction.sign() if norm == "linf" else _per_photo(direction, "l2")
        cloaked = project(photos.detach() + size / 255 * move, clean, budget)
        if progress is not None:
            progress((done + 1) / steps)
    return cloaked.detach()


def project(cloaked: Tensor, clean: Tensor, budget: Budget) -> Tensor:
    """The nearest photos within the budget of `clean` and within [0, 1]."""
    return torch.minimum(torch.maximum(cloaked, clean - budget.radius), clean + budget.radius).clamp(0, 1)


def random_start(clean: Tensor, budget: Budget, generator: torch.Generator) -> Tensor:
    """Photos drawn uniformly from the ball around `clean`, within [0, 1]."""
    start = torch.rand(clean.shape, generator=generator).to(clean) * 2 - 1
    return project(clean + budget.radius * start, clean, budget)


def nudged(clean: Tensor, budget: Budget, generator: torch.Generator) -> Tensor:
    """Photos off by up to one grey level: where an objective compares with the clean photos, these have no gradient."""
    return random_start(clean, Budget(min(1, budget.whole_levels)), generator)


def share_of(budget: Budget, share: float) -> float:
    """A step size as a share of the budget, in grey levels; at least one."""
    return max(1.0, share * budget.whole_levels)


def annealed(first: float, last: float) -> Callable[[float], float]:
    """Step sizes that fall (or grow) linearly from `first` towards `last`."""
    return lambda done: first + (last - first) * done


def _per_photo(gradient: Tensor, norm: Literal["l1", "l2"]) -> Tensor:
    """Each photo's gradient divided by its mean absolute value or its root mean square; zero stays zero."""
    values = gradient.abs().mean(dim=(1, 2, 3), keepdim=True) if norm == "l1" else _rms(gradient)
    return gradient / values.clamp(min=torch.finfo(gradient.dtype).tiny)


def _rms(values: Tensor) -> Tensor:
    # Divided by the largest first: squares of gradients of 1e-25 would be zero in fp32.
    largest = values.abs().amax(dim=(1, 2, 3), keepdim=True).clamp(min=torch.finfo(values.dtype).tiny)
    return largest * (values / largest).square().mean(dim=(1, 2, 3), keepdim=True).sqrt()
