"""PhotoGuard's encoder attack (Salman et al., ICML 2023, Sec. 3.1): make the VAE see something else.

The latent's mean is pulled to a target by L-infinity descent from a random start. Different from the released
notebooks: all photos of a person in one batch, and 200 steps (their demo's count) instead of 1000, since the loss is
flat long before.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from defenses import Context, Defense
from defenses.pgd import ascend, project


@dataclass(frozen=True)
class PhotoGuard(Defense):
    """PhotoGuard (encoder): pull the latents to a target.

    Attributes:
        steps: steps of the cloak.
        step: size of the first step as a share of the budget (published: 2.55 grey levels of 7.65); falls linearly to
            a hundredth of it, as published.
        target: "zero" pulls to the latent zero, "grey" to that of a grey picture.
    """

    steps: int = 200
    step: float = 1 / 3
    target: Literal["zero", "grey"] = "zero"

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base = context.surrogates[0]
        with torch.no_grad():
            wanted = base.encode(torch.full_like(photos[:1], 0.5))
        if self.target == "zero":
            wanted = torch.zeros_like(wanted)

        def closeness(candidates: Tensor) -> Tensor:
            return -(base.encode(candidates) - wanted).square().mean()

        start = torch.rand(photos.shape, generator=context.generator).to(photos) * 2 - 1
        start = project(photos + context.budget.radius * start, photos, context.budget)
        step, steps = self.step * context.budget.whole_levels, self.steps
        return ascend(start, photos, closeness, context.budget, step, steps, context.progress, last_step=step / 100)
