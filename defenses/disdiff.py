"""DisDiff (Liu et al., "Disrupting diffusion: token-level attention erasure attack", ACM MM 2024).

Idea: a personalised model finds the person through the attention to one token, so erase that attention (CAE), and
take smaller steps at late timesteps, whose gradients say little (MSS). For the rest it is ASPL, at the timesteps that
SimAC would choose.
Attacks: fine-tuning. Published budget: 6.4. Cost per photo: that of ASPL, and about 28 x 5 UNet passes for the choice
of timesteps.

Different from the released code: the token is found by its text (there by a fixed index), the student that the cloak
is moved against is a copy of the surrogate, as in ASPL (there both are one object), and as `defenses.aspl`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks.training import Recipe
from bench.errors import BenchError
from bench.models.attention import Maps, watched
from bench.models.base import Base
from bench.presets import fill
from defenses import Context, Defense
from defenses.aspl import Aspl
from defenses.objectives import caption, denoise
from defenses.pgd import ascend
from defenses.surrogates import alternate
from defenses.timesteps import greedy_timesteps


@dataclass(frozen=True)
class DisDiff(Defense):
    """DisDiff: ASPL that also erases the attention to the person's token.

    Attributes:
        preset: see `defenses.aspl.Aspl`.
        rounds: outer rounds (published: 50).
        surrogate_steps: fine-tuning steps per round, on the clean and again on the cloaked photos (published: 3).
        pgd_steps: steps of the cloak per round (published: 6).
        step: largest size of a cloak step in grey levels (published: 0.64, for a budget of 6.4).
        learning_rate: AdamW learning rate of the surrogate.
        weight_decay: AdamW weight decay.
        prior_weight: weight of the prior-preservation loss.
        class_count: pictures of other people for the prior loss.
        erasure_weight: weight of the erasure (published: 0.1).
        sides: sides of the attention maps, latent pixels (published: 16, of latents of 64).
        search: choose timesteps as SimAC does (the released script does).
        token: the word whose attention is erased.
        prompt: what the surrogate is taught to call the person.
        class_prompt: what it calls people in general.
    """

    paper: ClassVar[str] = "ACM MM 2024, arXiv 2405.20584"

    preset: str = "auto"
    rounds: int | None = None
    surrogate_steps: int = 3
    pgd_steps: int = 6
    step: float | None = None
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    prior_weight: float | None = None
    class_count: int | None = None
    erasure_weight: float = 0.1
    sides: tuple[int, ...] | None = None
    search: bool = True
    token: str = "sks"
    prompt: str = "a photo of sks person"
    class_prompt: str = "a photo of person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "antidb": Aspl.presets["antidb"] | {"sides": (16,)},
        "facelet": Aspl.presets["facelet"] | {"sides": (8, 16)},
    }

    def resolved(self, family: str) -> DisDiff:
        return fill(self, self.presets, "facelet" if family == "facelet" else "antidb")

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        count, step, generator = len(photos), float(self.step or 0), context.generator
        base = context.surrogates[0]
        choose = lambda: base.random_timesteps(count, generator)  # noqa: E731
        if self.search:
            choose = greedy_timesteps(base, photos, self.prompt, context.budget, step, generator)
        lessons = Recipe.of(self, steps=self.surrogate_steps, batch=count)
        places = token_places(base, self.prompt, self.token)

        def move(student: Base, cloaked: Tensor) -> Tensor:
            condition, last = caption(student, self.prompt, count), torch.zeros(count)

            def objective(candidates: Tensor) -> Tensor:
                with watched(student.unet, self.sides or ()) as maps:
                    made = denoise(student, candidates, condition, generator, choose)
                last.copy_(made.timesteps)
                return made.error + self.erasure_weight * erasure(maps, places)

            def size(_: float) -> Tensor:
                scale = 0.5 * (torch.cos(math.pi * last / (student.length - 1)) + 1)
                return step * scale[:, None, None, None].to(cloaked)

            return ascend(cloaked, photos, objective, context.budget, size, self.pgd_steps)

        return alternate(photos, context, lessons, int(self.rounds or 0), move)


def erasure(maps: Maps, places: list[int]) -> Tensor:
    """How little of the squared cross-attention goes to some tokens: mean of (1 - share)^2, 1 when none does (CAE)."""
    shares = []
    for attention in maps.cross:
        energy = attention.square().sum(dim=1)
        shares.append(energy[:, places].sum(dim=1) / energy.sum(dim=1))
    return (1 - torch.stack(shares)).square().mean()


def token_places(base: Base, prompt: str, word: str) -> list[int]:
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
