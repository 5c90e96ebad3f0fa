"""SDS (Xue et al., "Toward effective protection against diffusion-based mimicry through score distillation", ICLR
2024).

Idea: the VAE's encoder is the weak point, so the UNet needs no backward pass: the prediction's error, carried to the
photos by the encoder alone, is direction enough. Going down instead of up blurs what the model sees, and the cloak
looks more natural.
Attacks: fine-tuning and editing. Published budget: 16. Cost per photo: as many UNet passes as steps, forward only.

Different from the released code (Diff-Protect): all photos in one batch; with `target`, the target's latent is
encoded once, and its denoising loss, which is computed there and not used, is not computed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from torch import Tensor

from bench.config.prompts import Caption
from bench.core.ranges import Count, SomeShare, Weight
from defenses import Context
from defenses.adaptive import Adaptive
from defenses.objectives import latent_distance, score_distillation
from defenses.pgd import pgd, share_of
from defenses.targets import pattern


@dataclass(frozen=True)
class Sds(Adaptive):
    """SDS: score distillation through the VAE's encoder, without the UNet's gradient.

    Attributes:
        direction: "down" makes the prediction's error small (the published default), "up" makes it large.
        target: also pull the latents to those of the target picture (SDST).
        rate: weight of the score beside the target (published: 5).
        steps: steps of the cloak (published: 100).
        step: size of a step as a share of the budget, at least one grey level (published: 1 of 16).
        prompt: what the photos are captioned with.
    """

    paper: ClassVar[str] = "ICLR 2024, arXiv 2311.12832"
    loop: ClassVar[str] = "steps"

    direction: Literal["down", "up"] = "down"
    target: bool = False
    rate: Weight = 5.0
    steps: Count = 100
    step: SomeShare = 0.0625
    prompt: Caption = "a photo of person"

    def evaluations(self, turns: int) -> float:
        return turns

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base = context.surrogates[0]
        score = score_distillation(base, self.prompt, len(photos), context.generator)
        sign = -1 if self.direction == "down" else 1
        with torch.no_grad():
            distance = latent_distance(base, base.encode(pattern(photos.shape[-1]).to(photos)))

        def objective(candidates: Tensor) -> Tensor:
            if not self.target:
                return sign * score(candidates)
            return sign * self.rate * score(candidates) - distance(candidates)

        step = share_of(context.budget, self.step)
        treated = self.treated(objective, context.generator)
        return pgd(photos, photos, treated, context.budget, step, self.steps, progress=context.progress)
