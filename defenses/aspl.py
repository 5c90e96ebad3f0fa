"""ASPL, alternating surrogate and perturbation learning (Anti-DreamBooth, Van Le et al., ICCV 2023, Sec. 4.3, Alg. 1).

Idea: the defender imitates the attacker. Each round, a copy of the surrogate learns the person from clean photos, the
cloak is moved to raise that copy's denoising loss, and the surrogate itself learns from the cloaked photos, as the
attacker will have to.
Attacks: fine-tuning. Published budget: 6.4. Cost per photo: rounds x (2 surrogate_steps + pgd_steps) UNet passes
forward and backward, 2 surrogate_steps more with prior preservation: 600 as published.

Different from the released code: surrogates have fp32 master weights (AdamW on bf16 weights at this learning rate
loses nearly every update), every photo takes part in fine-tuning (there, each call starts again at the first and the
fourth is never reached), and gradients are really clipped (there, the iterator handed over is already empty).
`targeted`: there, timestep 0 addresses the last one as its predecessor; here it is not drawn.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks.training import Recipe
from bench.models.base import Base
from bench.presets import fill
from defenses import Context, Defense
from defenses.objectives import caption, denoise, denoising_loss
from defenses.pgd import Objective, ascend
from defenses.surrogates import alternate
from defenses.targets import pattern


@dataclass(frozen=True)
class Aspl(Defense):
    """Anti-DreamBooth (ASPL): raise the loss of a surrogate that is fine-tuned along the way.

    Several `surrogates` make it the ensemble variant, E-ASPL.

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
        targeted: also pull each predicted previous latent to the target picture's (T-ASPL).
        prompt: what the surrogate is taught to call the person.
        class_prompt: what it calls people in general.
    """

    paper: ClassVar[str] = "ICCV 2023, arXiv 2303.15433"

    preset: str = "auto"
    rounds: int | None = None
    surrogate_steps: int = 3
    pgd_steps: int = 6
    step: float | None = None
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    prior_weight: float | None = None
    class_count: int | None = None
    targeted: bool = False
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

        objective = targeted_loss if self.targeted else denoising_loss

        def move(student: Base, cloaked: Tensor) -> Tensor:
            loss = objective(student, self.prompt, len(photos), context.generator)
            return ascend(cloaked, photos, loss, context.budget, float(self.step or 0), self.pgd_steps)

        return alternate(photos, context, lessons, int(self.rounds or 0), move)


def targeted_loss(base: Base, prompt: str, count: int, generator: torch.Generator) -> Objective:
    """The denoising loss minus the distance of the predicted previous latent to the target's (T-ASPL, T-FSMG).

    Both are taken one timestep earlier: the prediction as the mean of DDPM's reverse step, the target's latent noised
    by the same noise.
    """
    condition = caption(base, prompt, count)
    with torch.no_grad():
        target = base.encode(pattern(base.side).to(base.device)).expand(count, -1, -1, -1)

    def loss(photos: Tensor) -> Tensor:
        step = denoise(base, photos, condition, generator, lambda: base.random_timesteps(count, generator).clamp(min=1))
        former = previous(base, step.noised, step.predicted, step.timesteps)
        wanted = base.add_noise(target, step.noise, step.timesteps - 1)
        return step.error - (former - wanted).square().mean()

    return loss


def previous(base: Base, noised: Tensor, predicted: Tensor, timesteps: Tensor) -> Tensor:
    """The mean of DDPM's reverse step (Ho et al. 2020, eq. 7) from timesteps of at least 1 to those before."""
    kept, before = base.kept(timesteps), base.kept(timesteps - 1)
    ratio = kept / before
    clean = base.clean(noised, predicted, timesteps)
    return (before.sqrt() * (1 - ratio) * clean + ratio.sqrt() * (1 - before) * noised) / (1 - kept)
