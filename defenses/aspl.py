"""ASPL, alternating surrogate and perturbation learning (Anti-DreamBooth, Van Le et al., ICCV 2023, Sec. 4.3, Alg. 1).

The defender imitates the attacker. Each round, a copy of the surrogate learns the person from clean photos, the cloak
is moved to raise that copy's denoising loss, and the surrogate itself learns from the cloaked photos, as the attacker
will have to.

Different from the released code: surrogates have fp32 master weights (AdamW on bf16 weights at this learning rate
loses nearly every update), every photo takes part in fine-tuning (there, each call starts again at the first and the
fourth is never reached), and gradients are really clipped (there, the iterator handed over is already empty).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks.training import Recipe, finetune
from bench.models.base import Base
from bench.presets import fill
from defenses import Context, Defense
from defenses.objectives import denoising_loss
from defenses.pgd import ascend


@dataclass(frozen=True)
class Aspl(Defense):
    """Anti-DreamBooth (ASPL): raise the loss of a surrogate that is fine-tuned along the way.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "antidb", the published values, for all others.
        rounds: outer rounds (published: 50).
        surrogate_steps: fine-tuning steps per round, on the clean and again on the cloaked photos (published: 3).
        pgd_steps: steps of the cloak per round (published: 6).
        step: size of a cloak step in grey levels (published: 0.64, for a budget of 6.4).
        learning_rate: AdamW learning rate of the surrogate (published: 5e-7, made for Stable Diffusion).
        weight_decay: AdamW weight decay.
        prior_weight: weight of the prior-preservation loss (published: 1); 0 leaves it out.
        class_count: pictures of other people for the prior loss (published: 200).
        prompt: what the surrogate is taught to call the person.
        class_prompt: what it calls people in general.
    """

    preset: str = "auto"
    rounds: int | None = None
    surrogate_steps: int = 3
    pgd_steps: int = 6
    step: float | None = None
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    prior_weight: float | None = None
    class_count: int | None = None
    prompt: str = "a photo of sks person"
    class_prompt: str = "a photo of person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "antidb": {"rounds": 50, "step": 0.64, "learning_rate": 5e-7, "prior_weight": 1.0, "class_count": 200},
        "facelet": {"rounds": 20, "step": 1.6, "learning_rate": 1e-4, "prior_weight": 0.0, "class_count": 0},
    }

    def resolved(self, family: str) -> Aspl:
        return fill(self, self.presets, "facelet" if family == "facelet" else "antidb")

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        lessons = Recipe.of(self, steps=self.surrogate_steps, batch=len(photos))
        surrogate = context.surrogates[0]
        student = surrogate.clone()
        with torch.no_grad():
            reference = surrogate.posterior(context.reference)
            strangers = None
            if lessons.wants_strangers:
                strangers = surrogate.posterior(context.class_photos(surrogate, lessons.class_count))
        cloaked, rounds = photos, int(self.rounds or 0)
        for done in range(rounds):
            student.copy_weights_from(surrogate)
            finetune(student, student.parameters(), reference, lessons, context.generator, strangers)
            cloaked = self._raise_loss(student, cloaked, photos, context)
            with torch.no_grad():
                learned = surrogate.posterior(cloaked)
            finetune(surrogate, surrogate.parameters(), learned, lessons, context.generator, strangers)
            context.progress((done + 1) / rounds)
        return cloaked

    def _raise_loss(self, student: Base, cloaked: Tensor, photos: Tensor, context: Context) -> Tensor:
        """Some steps of the cloak against the student as it is now."""
        student.freeze()
        loss = denoising_loss(student, self.prompt, len(photos), context.generator)
        return ascend(cloaked, photos, loss, context.budget, float(self.step or 0), self.pgd_steps)
