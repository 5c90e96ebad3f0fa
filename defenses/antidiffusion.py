"""Anti-Diffusion (Zheng et al., "Anti-Diffusion: preventing abuse of modifications of diffusion-based models", AAAI
2025).

Idea: which prompt an attacker will use is unknown, so tune one for each person; raise the denoising loss under it
while the cross-attention is pushed towards nothing (semantic disturbance); and let the UNet learn the cloaked photos
in between.
Attacks: fine-tuning and editing. Published budget: 7.65, as 6 calls of up to 1.3 each. Cost per photo: rounds x
(prompt_steps + pgd_steps + surrogate_steps) UNet passes: 360 as published.

Different from the released code: all heads' maps count (there half of them), all photos in one batch, and one ball
around the clean photos for all rounds (there each round has a ball of its own around the last result, so that the
budget grows with the rounds; `step` keeps the published reach).
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.config.prompts import Caption
from bench.core.ranges import Count, Decay, Rate, Several, StepLevels, Weight
from bench.models.diffusion.attention import Maps, watched
from bench.models.diffusion.base import Condition, DiffusionModel
from bench.models.diffusion.finetuning import Recipe
from defenses import Context, Defense
from defenses.objectives import caption, denoise
from defenses.pgd import pgd
from defenses.surrogates import learn


@dataclass(frozen=True)
class AntiDiffusion(Defense):
    """Anti-Diffusion: raise the loss and empty the attention under a tuned prompt.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        rounds: rounds of prompt, cloak and surrogate (published: 6).
        prompt_steps: AdamW steps on the prompt's states per round (published: 30).
        prompt_rate: their learning rate (published: 1e-3).
        pgd_steps: steps of the cloak per round (published: 10).
        step: size of a step in grey levels (published: 0.26).
        surrogate_steps: fine-tuning steps of the UNet per round (published: 20).
        learning_rate: AdamW learning rate of the UNet (published: 5e-7).
        weight_decay: AdamW weight decay.
        attention_weight: weight of the attention loss (published: 1).
        sides: sides of the attention maps, latent pixels (published: 16, of latents of 64).
        prompt: what the UNet's fine-tuning is captioned with.
    """

    paper: ClassVar[str] = "AAAI 2025, arXiv 2503.05595"

    preset: str = "auto"
    rounds: Count = 6
    prompt_steps: Several = 30
    prompt_rate: Rate = 1e-3
    pgd_steps: Count = 10
    step: StepLevels | None = None
    surrogate_steps: Several = 20
    learning_rate: Rate | None = None
    weight_decay: Decay = 1e-2
    attention_weight: Weight = 1.0
    sides: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    prompt: Caption = "a photo of sks person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {"step": 0.26, "learning_rate": 5e-7, "sides": (16,)},
        "facelet": {"step": 1.0, "learning_rate": 1e-4, "sides": (8, 16)},
    }

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base, cloaked, count = context.surrogates[0], photos, len(photos)
        recipe = Recipe.of(self, steps=self.surrogate_steps, batch=count)
        for done in range(self.rounds):
            condition = self._tuned_prompt(base, cloaked, context).expand(count)
            cloaked = self._disturb(base, cloaked, photos, condition, context)
            learn(base, cloaked, recipe, context, text_encoder=False)
            context.progress((done + 1) / self.rounds)
        return cloaked

    def _tuned_prompt(self, base: DiffusionModel, photos: Tensor, context: Context) -> Condition:
        """States of an empty prompt, trained to denoise the photos."""
        start = caption(base, "", 1)
        states = start.hidden.clone().requires_grad_(True)
        optimizer = torch.optim.AdamW([states], lr=self.prompt_rate, weight_decay=self.weight_decay)
        for _ in range(self.prompt_steps):
            told = dataclasses.replace(start, hidden=states).expand(len(photos))
            step = denoise(base, photos, told, context.generator)
            optimizer.zero_grad()
            step.error.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return dataclasses.replace(start, hidden=states.detach())

    def _disturb(
        self, base: DiffusionModel, cloaked: Tensor, photos: Tensor, condition: Condition, context: Context
    ) -> Tensor:
        def objective(candidates: Tensor) -> Tensor:
            with watched(base.unet, self.sides or ()) as maps:
                error = denoise(base, candidates, condition, context.generator).error
            return error - self.attention_weight * amount(maps)

        return pgd(cloaked, photos, objective, context.budget, float(self.step or 0), self.pgd_steps)


def amount(maps: Maps) -> Tensor:
    """How much cross-attention there is: mean square of a hundred times the maps, cut off at 1."""
    return torch.stack([(100 * attention).clamp(max=1).square().mean() for attention in maps.cross]).mean()
