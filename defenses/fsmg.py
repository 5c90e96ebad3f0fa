"""FSMG, fully-trained surrogate model guidance (Anti-DreamBooth, Van Le et al., ICCV 2023, Sec. 4.3).

Idea: a surrogate that has already learned the person from clean photos shows the attacker's goal; the cloak raises
its denoising loss.
Attacks: fine-tuning. Published budget: 6.4. Cost per photo: as many UNet passes as pgd_steps, and surrogate_steps for
all photos together: 1100 as published.

Different from the released code: as `defenses.aspl`; and its ensemble (E-FSMG) averages the gradients of all
surrogates at every step, where the released code averages the results of 12 steps each and reloads all models 60
times.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks.training import Recipe
from bench.presets import fill
from defenses import Context, Defense
from defenses.aspl import targeted_loss
from defenses.objectives import denoising_loss
from defenses.pgd import ascend
from defenses.surrogates import tuned


@dataclass(frozen=True)
class Fsmg(Defense):
    """Anti-DreamBooth (FSMG): raise the loss of a surrogate that has learned the person from clean photos.

    Several `surrogates` make it the ensemble variant, E-FSMG.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "antidb", the published values, for all others.
        surrogate_steps: fine-tuning steps on the reference photos (published: 1000).
        batch: photos per fine-tuning step.
        pgd_steps: steps of the cloak (published: 100).
        step: size of a cloak step in grey levels (published: 0.64, for a budget of 6.4).
        learning_rate: AdamW learning rate of the surrogate (published: 5e-7).
        weight_decay: AdamW weight decay.
        prior_weight: weight of the prior-preservation loss; 0 leaves it out.
        class_count: pictures of other people for the prior loss.
        targeted: also pull each predicted previous latent to the target picture's (T-FSMG).
        prompt: what the surrogate is taught to call the person.
        class_prompt: what it calls people in general.
    """

    paper: ClassVar[str] = "ICCV 2023, arXiv 2303.15433"

    preset: str = "auto"
    surrogate_steps: int | None = None
    batch: int = 2
    pgd_steps: int = 100
    step: float | None = None
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    prior_weight: float | None = None
    class_count: int | None = None
    targeted: bool = False
    prompt: str = "a photo of sks person"
    class_prompt: str = "a photo of person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "antidb": {
            "surrogate_steps": 1000,
            "step": 0.64,
            "learning_rate": 5e-7,
            "prior_weight": 1.0,
            "class_count": 200,
        },
        "facelet": {
            "surrogate_steps": 100,
            "step": 1.0,
            "learning_rate": 1e-4,
            "prior_weight": 0.0,
            "class_count": 0,
        },
    }

    def resolved(self, family: str) -> Fsmg:
        return fill(self, self.presets, "facelet" if family == "facelet" else "antidb")

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        lessons = Recipe.of(self, steps=int(self.surrogate_steps or 0))
        objective = targeted_loss if self.targeted else denoising_loss
        losses = []
        for base in context.surrogates:
            student = tuned(base, context.reference, lessons, context, in_place=True)
            losses.append(objective(student, self.prompt, len(photos), context.generator))

        def mean_loss(candidates: Tensor) -> Tensor:
            return torch.stack([loss(candidates) for loss in losses]).mean()

        step = float(self.step or 0)
        return ascend(photos, photos, mean_loss, context.budget, step, self.pgd_steps, progress=context.progress)
