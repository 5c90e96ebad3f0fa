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

from bench.core.ranges import Count, Several, StepLevels
from bench.models.diffusion.recipe import Recipe
from defenses import Context
from defenses.aspl import targeted_loss
from defenses.objectives import denoising_loss
from defenses.pgd import pgd
from defenses.surrogates import Learner, class_posterior, learn


@dataclass(frozen=True)
class Fsmg(Learner):
    """Anti-DreamBooth (FSMG): raise the loss of a surrogate that has learned the person from clean photos.

    Several `surrogates` make it the ensemble variant, E-FSMG.

    Attributes:
        surrogate_steps: fine-tuning steps on the reference photos (published: 1000).
        batch: photos per fine-tuning step.
        pgd_steps: steps of the cloak (published: 100).
        step: size of a cloak step in grey levels (published: 0.64, for a budget of 6.4).
        targeted: also pull each predicted previous latent to the target picture's (T-FSMG).
        preset, learning_rate and others: see `defenses.surrogates.Learner`.
    """

    paper: ClassVar[str] = "ICCV 2023, arXiv 2303.15433"
    loop: ClassVar[str] = "pgd_steps"

    surrogate_steps: Several | None = None
    batch: Count = 2
    pgd_steps: Count = 100
    step: StepLevels | None = None
    targeted: bool = False

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

    def evaluations(self, turns: int) -> float:
        return self.learning(int(self.surrogate_steps or 0), self.batch) + turns

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        recipe = Recipe.of(self, steps=int(self.surrogate_steps or 0))
        objective = targeted_loss if self.targeted else denoising_loss
        losses = []
        for base in context.surrogates:
            learn(base, context.reference, recipe, context, class_posterior(base, recipe, context))
            losses.append(objective(base, self.prompt, len(photos), context.generator))

        def mean_loss(candidates: Tensor) -> Tensor:
            return torch.stack([loss(candidates) for loss in losses]).mean()

        step = float(self.step or 0)
        loss = self.treated(mean_loss, context.generator)
        return pgd(photos, photos, loss, context.budget, step, self.pgd_steps, progress=context.progress)
