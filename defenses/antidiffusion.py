"""Anti-Diffusion (Zheng et al., "Anti-Diffusion: preventing abuse of modifications of diffusion-based models", AAAI
2025).

Idea: which prompt an attacker will use is unknown, so tune one for each photo; raise the denoising loss under it
while the cross-attention is pushed towards nothing (semantic disturbance); and let the UNet learn the cloaked photo
under it in between.
Attacks: fine-tuning and editing. Published budget: 7.65, as 6 calls of up to 1.3 each. Cost per photo: about rounds x
(prompt_steps + pgd_steps + surrogate_steps) UNet passes: 310 as published.

As released: each photo has a prompt and a UNet of its own; the attention of half of the heads counts, and the prompt
is not tuned between the first round and the second. Each round has a ball of its own around the last result, and
these balls add up: here to the budget, there to six times what was asked for. `variant=intended` counts all heads,
tunes the prompt in every round and has one ball around the clean photo.
Different from the released code: gradients of the UNet are really clipped (there, the iterator handed over is already
empty), and a last tuning of the prompt, which nothing uses, is left out.
On Stable Diffusion 3.5 and FLUX the cross-attention is the image-to-text block of joint attention, as the joint softmax
has it, so that a place may also turn to the picture; of 8 blocks spread evenly over the network. The prompt that is
tuned is the text's states; the pooled one stays.
"""

from __future__ import annotations

import dataclasses
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.core.ranges import Count, Decay, Rate, Several, StepLevels, Weight
from bench.core.types import Budget
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from defenses import Context, Defense
from defenses.objectives import caption, denoise
from defenses.pgd import pgd, project


@dataclass(frozen=True)
class AntiDiffusion(Defense):
    """Anti-Diffusion: raise the loss and empty the attention under a tuned prompt.

    Attributes:
        variant: "as_released", or "intended".
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
        sides: sides of the attention maps, latent pixels (published: 16, of latents of 64); of a transformer, tokens,
            and whatever it has by default.
    """

    paper: ClassVar[str] = "AAAI 2025, arXiv 2503.05595"
    loop: ClassVar[str] = "rounds"

    variant: Literal["as_released", "intended"] = "as_released"
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

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {"step": 0.26, "learning_rate": 5e-7, "sides": (16,)},
        "facelet": {"step": 1.0, "learning_rate": 1e-4, "sides": (8, 16)},
    }

    on_transformers: ClassVar[Mapping[str, Any]] = {"sides": None}

    def evaluations(self, turns: int) -> float:
        tuned = turns - 1 if self.variant == "as_released" and turns > 1 else turns
        return tuned * self.prompt_steps + turns * self.pgd_steps + (turns - 1) * self.surrogate_steps

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base, made = context.surrogates[0], list[Tensor]()
        fresh = base.snapshot()
        for index in range(len(photos)):
            base.load_snapshot(fresh)
            made.append(self._cloaked(base, photos[index : index + 1], context, index / len(photos), 1 / len(photos)))
        return torch.cat(made)

    def _cloaked(self, base: DiffusionModel, photo: Tensor, context: Context, done: float, share: float) -> Tensor:
        """One photo (1, 3, h, w), cloaked; the base has learned it afterwards."""
        cloaked, condition, released = photo, caption(base, "", 1), self.variant == "as_released"
        budget = Part(context.budget.whole_levels / self.rounds) if released else context.budget
        for turn in range(self.rounds):
            if turn != 1 or not released:
                condition = self._tuned(base, cloaked, condition, context)
            if turn:
                self._learn(base, cloaked, condition, context)
            centre = cloaked if released else photo
            cloaked = self._disturbed(base, cloaked, centre, condition, budget, context.generator)
            context.progress(done + share * (turn + 1) / self.rounds)
        return project(cloaked, photo, context.budget)

    def _tuned(self, base: DiffusionModel, photo: Tensor, condition: Condition, context: Context) -> Condition:
        """A condition whose states are trained on, to denoise the photo."""
        states = condition.hidden.clone().requires_grad_(True)
        optimizer = torch.optim.AdamW([states], lr=self.prompt_rate, weight_decay=self.weight_decay)
        with torch.no_grad():
            latents = base.encode(photo, context.generator)
        for _ in range(self.prompt_steps):
            told = dataclasses.replace(condition, hidden=states)
            optimizer.zero_grad()
            base.denoising_errors(latents, told, context.generator).mean().backward()  # type: ignore[no-untyped-call]
            optimizer.step()
        return dataclasses.replace(condition, hidden=states.detach())

    def _learn(self, base: DiffusionModel, photo: Tensor, condition: Condition, context: Context) -> None:
        """The UNet learns the photo under the tuned condition, in place, and is frozen again."""
        weights = base.parameters(text_encoder=False)
        optimizer = torch.optim.AdamW(weights, lr=float(self.learning_rate or 0), weight_decay=self.weight_decay)
        with torch.no_grad():
            posterior = base.posterior(photo)
        for _ in range(self.surrogate_steps):
            latents = posterior.sample(context.generator)
            optimizer.zero_grad()
            base.denoising_errors(latents, condition, context.generator).mean().backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(weights, 1.0)
            optimizer.step()
        base.freeze()

    def _disturbed(
        self,
        base: DiffusionModel,
        cloaked: Tensor,
        centre: Tensor,
        condition: Condition,
        budget: Budget,
        generator: torch.Generator,
    ) -> Tensor:
        def objective(candidates: Tensor) -> Tensor:
            with base.attention_to_prompt(self.sides) as maps:
                error = denoise(base, candidates, condition, generator).error
            return error - self.attention_weight * amount(maps, half=self.variant == "as_released")

        return pgd(cloaked, centre, objective, budget, float(self.step or 0), self.pgd_steps)


class Part(Budget):
    """A part of a budget, which need not be of whole grey levels."""

    @property
    def radius(self) -> float:
        return self.levels / 255


def amount(maps: list[Tensor], half: bool = False) -> Tensor:
    """How much cross-attention there is: mean square of a hundred times the mean map, cut off at 1.

    Args:
        maps: (n, heads, positions, tokens) of each layer; with several numbers of positions, the mean over these.
        half: count only the second half of each layer's heads.
    """
    by_side: dict[int, list[Tensor]] = defaultdict(list)
    for heads in maps:
        by_side[heads.shape[2]].append(heads[:, heads.shape[1] // 2 :] if half else heads)
    means = [torch.cat(some, dim=1).mean(dim=1) for some in by_side.values()]
    return torch.stack([(100 * mean).clamp(max=1).square().mean() for mean in means]).mean()
