"""Mist (Liang and Wu, "Mist: towards improved adversarial examples for diffusion models", 2023).

Idea: pull the latents to those of a picture full of contrast (textural), raise the denoising loss (semantic), or
both.
Attacks: fine-tuning and editing. Published budget: 16. Cost per photo: as many UNet passes as steps (none in the mode
"textural").

As released, the distance is a sum over a latent's values beside a loss that is their mean: a balance made for the
64 x 64 x 4 values of a photo of 512 px. The embedded models have a sixteenth of them, so the loss would weigh 16
times as much as published; by default the distance counts as if there were as many. At 512 px both variants are the
same.
Different from the released code: the photos, the constant target and the caption are each encoded once per step or
once in all (there twice, and at every step), all photos go in one batch, the target picture is our own, and the
photos are captioned as what they are (there, "a painting", whatever they show: `prompt="a painting"` gives that
back).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bench.config.prompts import Caption
from bench.core.ranges import Count, SomeShare, Weight
from bench.models.diffusion.base import DiffusionModel
from defenses import Context
from defenses.adaptive import Adaptive
from defenses.objectives import caption, denoise
from defenses.pgd import Objective, pgd, random_start, share_of
from defenses.targets import pattern

PUBLISHED = 64 * 64 * 4
"""Values of the latent of a photo of 512 px, the size for which `rate` is published."""


@dataclass(frozen=True)
class Mist(Adaptive):
    """Mist: pull the latents to a target picture and raise the denoising loss.

    Attributes:
        variant: "intended", where the two terms keep their published balance at any size of the latents, or
            "as_released".
        mode: "textural" (the target), "semantic" (the loss) or "fused" (both, the published default).
        rate: weight of the denoising loss (mean over values) beside the squared distance to the target (sum over the
            values of one photo's latent, as if of 512 px); published: 1e4.
        steps: steps of the cloak (published: 100).
        step: size of a step as a share of the budget, at least one grey level (published: 1 of 16).
        prompt: what the photos are captioned with.
    """

    paper: ClassVar[str] = "2023, arXiv 2305.12683"
    loop: ClassVar[str] = "steps"

    variant: Literal["intended", "as_released"] = "intended"
    mode: Literal["textural", "semantic", "fused"] = "fused"
    rate: Weight = 1e4
    steps: Count = 100
    step: SomeShare = 0.0625
    prompt: Caption = "a photo of person"

    def evaluations(self, turns: int) -> float:
        return turns  # as "textural", of the VAE's encoder

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        objective = self.objective(context.surrogates[0], photos, context.generator)
        objective = self.treated(objective, context.generator)
        start = random_start(photos, context.budget, context.generator)
        step = share_of(context.budget, self.step)
        return pgd(start, photos, objective, context.budget, step, self.steps, progress=context.progress)

    def objective(self, base: DiffusionModel, photos: Tensor, generator: torch.Generator) -> Objective:
        """What the mode makes large, for as many photos of this size."""
        condition = caption(base, self.prompt, len(photos))
        with torch.no_grad():
            wanted = base.encode(pattern(photos.shape[-1]).to(photos))
        scale = 1.0 if self.variant == "as_released" else PUBLISHED / wanted.numel()

        def distance(latents: Tensor) -> Tensor:
            return scale * (latents - wanted).square().sum() / len(photos)

        def value(candidates: Tensor) -> Tensor:
            if self.mode == "textural":
                return -distance(base.encode(candidates))
            step = denoise(base, candidates, condition, generator)
            if self.mode == "semantic":
                return step.error
            return self.rate * step.error - distance(step.latents)

        return value
