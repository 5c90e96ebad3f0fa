"""DisDiff (Liu et al., "Disrupting diffusion: token-level attention erasure attack", ACM MM 2024).

Idea: a personalised model finds the person through the attention to one token, so erase that attention (CAE), and
take smaller steps at late timesteps, whose gradients say little (MSS). For the rest it is ASPL, at the timesteps that
SimAC would choose.
Attacks: fine-tuning. Published budget: 6.4. Cost per photo: that of ASPL, and 165 UNet passes for the choice of
timesteps: 1065 as published.

Different from the released code: the token is found by its text (there by a fixed index), the student that the cloak
is moved against is a copy of the surrogate, as in ASPL (there both are one object), and as `defenses.aspl`.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from pydantic import Field
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.ranges import Count, Weight
from bench.models.diffusion.attention import Maps, watched
from bench.models.diffusion.base import DiffusionModel
from defenses import Context
from defenses.objectives import caption, denoise
from defenses.pgd import pgd
from defenses.surrogates import AlternatingDefense
from defenses.timesteps import greedy_timesteps


@dataclass(frozen=True)
class DisDiff(AlternatingDefense):
    """DisDiff: ASPL that also erases the attention to the person's token.

    Attributes:
        erasure_weight: weight of the erasure (published: 0.1).
        sides: sides of the attention maps, latent pixels (published: 16, of latents of 64).
        search: choose timesteps as SimAC does (the released script does).
        token: the word whose attention is erased.
        preset, rounds and others: see `defenses.surrogates.AlternatingDefense` and `Learner`; `step` is the largest.
    """

    paper: ClassVar[str] = "ACM MM 2024, arXiv 2405.20584"

    erasure_weight: Weight = 0.1
    sides: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    search: bool = True
    token: str = "sks"

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.token or f" {self.token} " not in f" {self.prompt} ":
            raise ValueError(f"token must be a word of prompt, {self.prompt!r}, and not {self.token!r}")

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "antidb": {**AlternatingDefense.presets["antidb"], "sides": (16,)},
        "facelet": {**AlternatingDefense.presets["facelet"], "sides": (8, 16)},
    }

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        count, step, generator = len(photos), float(self.step or 0), context.generator
        base = context.surrogates[0]
        choose = lambda: base.random_timesteps(count, generator)  # noqa: E731
        if self.search:
            choose = greedy_timesteps(base, photos, self.prompt, context.budget, step, generator)
        places = token_places(base, self.prompt, self.token)

        def move(student: DiffusionModel, cloaked: Tensor) -> Tensor:
            condition, last = caption(student, self.prompt, count), torch.zeros(count)

            def objective(candidates: Tensor) -> Tensor:
                with watched(student.unet, self.sides or ()) as maps:
                    made = denoise(student, candidates, condition, generator, choose)
                last.copy_(made.timesteps)
                return made.error + self.erasure_weight * erasure(maps, places)

            def size(_: float) -> Tensor:
                scale = 0.5 * (torch.cos(math.pi * last / (student.length - 1)) + 1)
                return step * scale[:, None, None, None].to(cloaked)

            return pgd(cloaked, photos, objective, context.budget, size, self.pgd_steps)

        return self.in_turns(photos, context, move)


def erasure(maps: Maps, places: list[int]) -> Tensor:
    """How little of the squared cross-attention goes to some tokens: mean of (1 - share)^2, 1 when none does (CAE)."""
    shares = []
    for attention in maps.cross:
        energy = attention.square().sum(dim=1)
        shares.append(energy[:, places].sum(dim=1) / energy.sum(dim=1))
    return (1 - torch.stack(shares)).square().mean()


def token_places(base: DiffusionModel, prompt: str, word: str) -> list[int]:
    """Positions of a word's tokens in a prompt's condition.

    Raises:
        BenchError: the prompt does not contain the word.
    """
    before, found, _ = prompt.partition(word)
    if not found:
        raise BenchError(f"The prompt {prompt!r} does not contain {word!r}.", "Choose a word of the prompt.")
    start = len(base.tokenizer(before.rstrip(), add_special_tokens=False).input_ids) + 1  # after the start token
    length = len(base.tokenizer(word, add_special_tokens=False).input_ids)
    return list(range(start, start + length))
