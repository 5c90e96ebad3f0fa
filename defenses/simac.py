"""SimAC (Wang et al., "SimAC: a simple anti-customization method for protecting face privacy", CVPR 2024).

Idea: at most timesteps the loss has hardly a gradient with respect to the photo, so choose those where it has, and
disturb the features of the UNet's last layers, which carry the details. For the rest it is ASPL.
Attacks: fine-tuning. Published budget: 8. Cost per photo: that of ASPL, pgd_steps more a round for the clean features,
and 165 UNet passes for the choice: 1365 as published.

Different from the released code: the feature loss has a gradient, and its clean branch sees the clean photo (there it
is detached, so it changes nothing: `variant=as_released`); further as `defenses.aspl`.
On Stable Diffusion 3.5 and FLUX the features are the image's states after each of the last three blocks, every token's
normalised as the next layer reads it (layer norm), so that their size, which grows from block to block, does not count.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.ranges import Weight
from bench.models.diffusion.base import DiffusionModel
from defenses import Context
from defenses.objectives import Timesteps, caption, denoise, twin
from defenses.pgd import Objective, pgd
from defenses.surrogates import AlternatingDefense
from defenses.timesteps import SEARCH, greedy_timesteps


@dataclass(frozen=True)
class SimAC(AlternatingDefense):
    """SimAC: ASPL at the timesteps that matter, with disturbed features.

    Attributes:
        variant: "intended", or "as_released", where the feature loss has no effect.
        feature_weight: weight of the feature loss (published: 1).
        preset, rounds and others: see `defenses.surrogates.AlternatingDefense` and `Learner`.
    """

    paper: ClassVar[str] = "CVPR 2024, arXiv 2312.07865"
    loop: ClassVar[str] = "rounds"

    variant: Literal["intended", "as_released"] = "intended"
    feature_weight: Weight = 1.0

    def evaluations(self, turns: int) -> float:
        looks = 2 if self.variant == "intended" and self.feature_weight else 1
        return SEARCH + turns * (self.learning_of_a_round() + looks * self.pgd_steps)

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        step, weight = float(self.step or 0), 0.0 if self.variant == "as_released" else self.feature_weight
        timesteps = greedy_timesteps(
            context.surrogates[0], photos, self.prompt, context.budget, step, context.generator
        )

        def move(student: DiffusionModel, cloaked: Tensor) -> Tensor:
            loss = interference(student, photos, self.prompt, weight, timesteps, context.generator)
            loss = self.treated(loss, context.generator)
            return pgd(cloaked, photos, loss, context.budget, step, self.pgd_steps)

        return self.in_turns(photos, context, move)


def interference(
    base: DiffusionModel, clean: Tensor, prompt: str, weight: float, timesteps: Timesteps, generator: torch.Generator
) -> Objective:
    """The denoising loss plus `weight` times the change of the UNet's last features, at the same noise and timestep."""
    condition = caption(base, prompt, len(clean))
    with torch.no_grad():
        original = base.posterior(clean)

    def loss(photos: Tensor) -> Tensor:
        same = twin(generator)
        with base.last_features() as mine:
            step = denoise(base, photos, condition, generator, timesteps)
        if not weight:
            return step.error
        with torch.no_grad(), base.last_features() as theirs:
            noised = base.add_noise(original.sample(same), step.noise, step.timesteps)
            base.predict(noised, step.timesteps, condition)
        changes = [F.mse_loss(a.float(), b.float()) for a, b in zip(mine, theirs, strict=True)]
        return step.error + weight * torch.stack(changes).mean()

    return loss
