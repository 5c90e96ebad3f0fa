"""Random signs at the budget: the control that separates an adversarial cloak from a noisy photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.core.deferred import Tensor, torch
from defenses import Context, Defense


@dataclass(frozen=True)
class Noise(Defense):
    """Control: every value moved up or down by the whole budget, at random."""

    needs_surrogate: ClassVar[bool] = False

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        signs = torch.randint(0, 2, photos.shape, generator=context.generator).to(photos) * 2 - 1
        return (photos + context.budget.radius * signs).clamp(0, 1)
