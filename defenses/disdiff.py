"""DisDiff (Liu et al., "Disrupting diffusion: token-level attention erasure attack", ACM MM 2024).

Idea: a personalised model finds the person through the attention to one token, so erase that attention (CAE), and
take smaller steps at late timesteps, whose gradients say little (MSS). For the rest it is ASPL, at the timesteps that
SimAC would choose.
Attacks: fine-tuning. Published budget: 6.4. Cost per photo: that of ASPL, and 165 UNet passes for the choice of
timesteps: 1065 as published.

Different from the released code: the token is found by its text (there by a fixed index, the same for the published
prompt), and as `defenses.aspl`. There, the model that the cloak is moved against is the surrogate itself, which has
just learned from clean photos and then learns from cloaked ones: what the authors ran, and so the default;
`variant=intended` is the loop that the paper takes from ASPL, where it is a copy.
On Stable Diffusion 3.5 and FLUX the maps are the image-to-text blocks of joint attention, as the joint softmax has
them, of 8 blocks spread evenly over the network. The person's tokens are those of every reader whose states are in
the text: of CLIP and T5 for Stable Diffusion 3.5, of T5 for FLUX.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from bench.core.ranges import Count, Weight
from bench.models.diffusion.attention import Maps
from bench.models.diffusion.base import DiffusionModel
from defenses import Context
from defenses.objectives import caption, denoise
from defenses.pgd import pgd
from defenses.surrogates import AlternatingDefense
from defenses.timesteps import SEARCH, greedy_timesteps


@dataclass(frozen=True)
class DisDiff(AlternatingDefense):
    """DisDiff: ASPL that also erases the attention to the person's token.

    Attributes:
        variant: "as_released", or "intended", where the cloak is moved against a copy of the surrogate.
        erasure_weight: weight of the erasure (published: 0.1).
        sides: sides of the attention maps, latent pixels (published: 16, of latents of 64); of a transformer, tokens,
            and whatever it has by default.
        search: choose timesteps as SimAC does (the released script does).
        token: the word whose attention is erased.
        preset, rounds and others: see `defenses.surrogates.AlternatingDefense` and `Learner`; `step` is the largest.
    """

    paper: ClassVar[str] = "ACM MM 2024, arXiv 2405.20584"
    loop: ClassVar[str] = "rounds"

    variant: Literal["as_released", "intended"] = "as_released"
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

    on_transformers: ClassVar[Mapping[str, Any]] = {"sides": None}

    def evaluations(self, turns: int) -> float:
        return SEARCH * self.search + turns * (self.learning_of_a_round() + self.pgd_steps)

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        count, step, generator = len(photos), float(self.step or 0), context.generator
        base = context.surrogates[0]
        choose = lambda: base.random_timesteps(count, generator)  # noqa: E731
        if self.search:
            choose = greedy_timesteps(base, photos, self.prompt, context.budget, step, generator)
        words, places = base.token_places(self.prompt, self.prompt), base.token_places(self.prompt, self.token)

        def move(student: DiffusionModel, cloaked: Tensor) -> Tensor:
            condition, last = caption(student, self.prompt, count), photos.new_zeros(count)

            def objective(candidates: Tensor) -> Tensor:
                with student.watched(self.sides) as maps:
                    made = denoise(student, candidates, condition, generator, choose)
                last.copy_(made.timesteps)
                return made.error + self.erasure_weight * erasure(maps, places, words)

            def size(_: float) -> Tensor:
                scale = 0.5 * (torch.cos(math.pi * last / (student.length - 1)) + 1)
                return step * scale[:, None, None, None]

            treated = self.treated(objective, generator)
            return pgd(cloaked, photos, treated, context.budget, size, self.pgd_steps)

        return self.in_turns(photos, context, move, copies=self.variant == "intended")


def erasure(maps: Maps, places: Sequence[int], words: Sequence[int]) -> Tensor:
    """How little of the cross-attention to the words of a prompt goes to some of them: (1 - share)^2 (CAE).

    The maps of one side are averaged over layers, heads and photos; of a hundred times their values for the words the
    softmax is taken; and the share is that of the squares, summed over the picture. It is 1 when no attention is left.

    Args:
        maps: cross-attention maps (n, positions, tokens); with several sides, the mean over them is returned.
        places: positions of the tokens to be erased, among `words`.
        words: positions of all tokens of the prompt, without the start, the end and the padding.
    """
    by_side: dict[int, list[Tensor]] = defaultdict(list)
    for attention in maps.cross:
        by_side[attention.shape[1]].append(attention)
    erased = [words.index(place) for place in places]
    values = []
    for some in by_side.values():
        energy = torch.softmax(100 * torch.cat(some).mean(dim=0)[:, list(words)], dim=-1).square()
        values.append((1 - energy[:, erased].sum() / energy.sum()).square())
    return torch.stack(values).mean()
