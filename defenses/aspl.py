"""ASPL, alternating surrogate and perturbation learning (Anti-DreamBooth, Van Le et al., ICCV 2023, Sec. 4.3, Alg. 1).

Idea: the defender imitates the attacker. Each round, a copy of the surrogate learns the person from clean photos, the
cloak is moved to raise that copy's denoising loss, and the surrogate itself learns from the cloaked photos, as the
attacker will have to.
Attacks: fine-tuning. Published budget: 6.4. Cost per photo: rounds x pgd_steps UNet passes forward and backward, and
its share of the surrogate's, rounds x 2 surrogate_steps x batch for all photos, twice that with prior preservation: 450
as published, of four photos.

Different from the released code: surrogates have fp32 master weights (AdamW on bf16 weights at this learning rate
loses nearly every update), every photo takes part in fine-tuning (there, each call starts again at the first and the
fourth is never reached), and gradients are really clipped (there, the iterator handed over is already empty).
`targeted`: there, timestep 0 addresses the last one as its predecessor; here it is not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.models.diffusion.base import DiffusionModel
from defenses import Context
from defenses.objectives import caption, denoise, denoising_loss
from defenses.pgd import Objective, pgd
from defenses.surrogates import AlternatingDefense
from defenses.targets import pattern


@dataclass(frozen=True)
class Aspl(AlternatingDefense):
    """Anti-DreamBooth (ASPL): raise the loss of a surrogate that is fine-tuned along the way.

    Several `surrogates` make it the ensemble variant, E-ASPL.

    Attributes:
        targeted: also pull each predicted previous latent to the target picture's (T-ASPL).
        preset, rounds and others: see `defenses.surrogates.AlternatingDefense` and `Learner`.
    """

    paper: ClassVar[str] = "ICCV 2023, arXiv 2303.15433"
    loop: ClassVar[str] = "rounds"

    targeted: bool = False

    def evaluations(self, turns: int) -> float:
        return turns * (self.learning_of_a_round() + self.pgd_steps)

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        objective = targeted_loss if self.targeted else denoising_loss

        def move(student: DiffusionModel, cloaked: Tensor) -> Tensor:
            loss = objective(student, self.prompt, len(photos), context.generator)
            loss = self.treated(loss, context.generator)
            return pgd(cloaked, photos, loss, context.budget, float(self.step or 0), self.pgd_steps)

        return self.in_turns(photos, context, move)


def targeted_loss(base: DiffusionModel, prompt: str, count: int, generator: torch.Generator) -> Objective:
    """The denoising loss minus the distance of the predicted previous latent to the target's (T-ASPL, T-FSMG).

    Both are taken one timestep earlier: the prediction as the mean of DDPM's reverse step (on a flow-matching
    transformer, an Euler step), the target's latent noised by the same noise.
    """
    condition = caption(base, prompt, count)
    with torch.no_grad():
        target = base.encode(pattern(base.side).to(base.device)).expand(count, -1, -1, -1)

    def loss(photos: Tensor) -> Tensor:
        step = denoise(base, photos, condition, generator, lambda: base.random_timesteps(count, generator).clamp(min=1))
        former = base.previous(step.noised, step.predicted, step.timesteps)
        wanted = base.add_noise(target, step.noise, step.timesteps - 1)
        return step.error - (former - wanted).square().mean()

    return loss
