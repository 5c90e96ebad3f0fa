"""AdvDM (Liang et al., "Adversarial example does good", ICML 2023, Alg. 1): raise the denoising loss of a fixed base.

Idea: each step takes a fresh timestep and noise (Monte Carlo), so the cloak is one against all of them.
Attacks: fine-tuning. Budget of Diff-Protect's version: 16. Cost per photo: as many UNet passes as steps.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.config.prompts import Caption
from bench.core.ranges import Count, SomeShare
from defenses import Context
from defenses.adaptive import Adaptive
from defenses.objectives import denoising_loss
from defenses.pgd import pgd, share_of


@dataclass(frozen=True)
class AdvDM(Adaptive):
    """AdvDM: signed ascent on the denoising loss; the base is never trained.

    Attributes:
        steps: steps of the cloak (100, as in Diff-Protect's version; the paper's count is not known).
        step: size of a step as a share of the budget, at least one grey level. Diff-Protect takes 1 of 16.
        prompt: what the photos are captioned with.
    """

    paper: ClassVar[str] = "ICML 2023, arXiv 2302.04578"
    loop: ClassVar[str] = "steps"

    steps: Count = 100
    step: SomeShare = 0.0625
    prompt: Caption = "a photo of person"

    def evaluations(self, turns: int) -> float:
        return turns

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        loss = denoising_loss(context.surrogates[0], self.prompt, len(photos), context.generator)
        loss = self.treated(loss, context.generator)
        step = share_of(context.budget, self.step)
        return pgd(photos, photos, loss, context.budget, step, self.steps, progress=context.progress)
