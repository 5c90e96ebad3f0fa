"""ACE (Zheng et al., "Targeted attack improves protection against unauthorized diffusion customization", ICLR 2025).

Idea: instead of any large error, teach one: make the UNet predict the same picture full of contrast at every
timestep, so that whatever is fine-tuned on the photos learns that pattern. The surrogate learns the cloaked photos by
LoRA in between. ACE+ also pulls the latents to that picture. This is Mist-v2's engine, too.
Attacks: fine-tuning. Published budget: 4 (Mist-v2's script: 5.1). Cost per photo: rounds x (pgd_steps + lora_steps)
UNet passes: 275 as published.

Different from the released code: all photos in one batch, constants encoded once, no class pictures (there, prior
preservation of weight 0.1), and the target picture is our own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from attacks.lora import Lora
from bench.config.prompts import Caption
from bench.core.ranges import Count, Rate, Several, StepLevels
from bench.models.diffusion.finetuning import finetune
from bench.models.diffusion.recipe import Recipe
from defenses import Context, Defense
from defenses.objectives import caption, denoise
from defenses.pgd import Objective, pgd
from defenses.targets import pattern

ENCODER_WEIGHT = 1e2
"""Weight of the latents' distance beside that of the predictions in ACE+."""


@dataclass(frozen=True)
class Ace(Defense):
    """ACE: make the surrogate predict one picture whatever the noise, while LoRA learns the cloaked photos.

    Attributes:
        mode: "ace", or "ace_plus", which also pulls the latents.
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        rounds: rounds of cloak and LoRA (published: 5).
        pgd_steps: steps of the cloak per round (published: 50).
        step: size of a step in grey levels (published: 0.64).
        lora_steps: LoRA steps on the cloaked photos per round (published: 5).
        rank: rank of the LoRA (published: 4).
        learning_rate: its AdamW learning rate (published: 1e-4).
        prompt: what the photos are captioned with.
    """

    paper: ClassVar[str] = "ICLR 2025, arXiv 2310.04687"
    loop: ClassVar[str] = "pgd_steps"

    mode: Literal["ace", "ace_plus"] = "ace"
    preset: str = "auto"
    rounds: Count = 5
    pgd_steps: Count | None = None
    step: StepLevels | None = None
    lora_steps: Several = 5
    rank: Count = 4
    learning_rate: Rate | None = None
    prompt: Caption = "a photo of sks person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {"pgd_steps": 50, "step": 0.64, "learning_rate": 1e-4},
        "facelet": {"pgd_steps": 30, "step": 1.0, "learning_rate": 1e-3},
    }

    def evaluations(self, turns: int) -> float:
        return self.rounds * (turns + self.lora_steps)

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base, cloaked = context.surrogates[0], photos
        recipe = Recipe.of(self, steps=self.lora_steps, batch=len(photos))
        lora = Lora(rank=self.rank, targets="attention", train_text_encoder=False)
        lora.prepare(base)
        weights = lora.attach(context.generator)
        objective = self._closeness(context, len(photos), photos.shape[-1])
        try:
            for done in range(self.rounds):
                base.freeze()
                cloaked = pgd(
                    cloaked, photos, objective, context.budget, float(self.step or 0), int(self.pgd_steps or 0)
                )
                with torch.no_grad():
                    learned = base.posterior(cloaked)
                for weight in weights:
                    weight.requires_grad_(True)
                finetune(base, weights, learned, recipe, context.generator)
                context.progress((done + 1) / self.rounds)
        finally:
            lora.reset()
        return cloaked

    def _closeness(self, context: Context, count: int, side: int) -> Objective:
        """Minus the distance of the predictions, and in ACE+ of the latents, to the target's latent."""
        base = context.surrogates[0]
        condition = caption(base, self.prompt, count)
        with torch.no_grad():
            target = base.encode(pattern(side).to(base.device)).expand(count, -1, -1, -1)

        def closeness(candidates: Tensor) -> Tensor:
            step = denoise(base, candidates, condition, context.generator)
            distance = F.mse_loss(step.predicted, target)
            if self.mode == "ace_plus":
                distance = distance + ENCODER_WEIGHT * F.mse_loss(step.latents, target)
            return -distance

        return closeness
