"""CAAT (Xu et al., "Perturbing attention gives you more bang for the buck", CVPR 2024).

Idea: fine-tuning moves the keys and values of the cross-attention most, so let them learn while the cloak is made:
one backward pass per step moves the photos up and these weights down.
Attacks: fine-tuning. Published budget: 6.4. Cost per photo: as many UNet passes as steps: 250 as published.

Different from the released code: the weights of the UNet themselves are trained (there, copies in attention
processors of their own), without prior preservation (its branch there takes half of the photos for class pictures).
On Stable Diffusion 3.5 and FLUX, the keys and values that learn are those of the text in joint attention. FLUX's blocks
that project text and image by the same weights have none of their own, and learn nothing.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.config.prompts import Caption
from bench.core.ranges import Count, Decay, Rate, StepLevels
from defenses import Context, Defense
from defenses.objectives import denoising_loss
from defenses.pgd import pgd


@dataclass(frozen=True)
class Caat(Defense):
    """CAAT: raise the loss while the surrogate's cross-attention learns the cloaked photos.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        steps: joint steps (published: 250).
        step: size of a step in grey levels (published: 0.64, for a budget of 6.4).
        learning_rate: AdamW learning rate of the keys and values (published: 1e-5).
        weight_decay: AdamW weight decay.
        prompt: what the photos are captioned with.
    """

    paper: ClassVar[str] = "CVPR 2024, arXiv 2404.15081"
    loop: ClassVar[str] = "steps"

    preset: str = "auto"
    steps: Count | None = None
    step: StepLevels | None = None
    learning_rate: Rate | None = None
    weight_decay: Decay = 1e-2
    prompt: Caption = "a photo of a person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {"steps": 250, "step": 0.64, "learning_rate": 1e-5},
        "facelet": {"steps": 150, "step": 1.0, "learning_rate": 1e-3},
    }

    def evaluations(self, turns: int) -> float:
        return turns

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base = context.surrogates[0]
        weights = [weight.requires_grad_(True) for weight in base.prompt_weights]
        optimizer = torch.optim.AdamW(weights, lr=float(self.learning_rate or 0), weight_decay=self.weight_decay)

        def learn() -> None:
            optimizer.step()
            optimizer.zero_grad()

        loss = denoising_loss(base, self.prompt, len(photos), context.generator)
        return pgd(
            photos,
            photos,
            loss,
            context.budget,
            float(self.step or 0),
            int(self.steps or 0),
            after_backward=learn,
            progress=context.progress,
        )
