"""On the embedded model, each cloak moves what it is after further than noise does at the same budget.

Measured on the surrogate as it was loaded, by functions of its own, over draws that the cloak has not seen.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from defenses import DEFENSES
from defenses.photoguard import edited
from defenses.targets import pattern
from tests.support.contexts import defend_context
from tests.support.goals import PROMPT, Goal, first_predicted, grey, loss, predicts_the_pattern, purifier_errs, shifted

LEVELS = 16
IN_TURNS = {"rounds": 3, "surrogate_steps": 1, "pgd_steps": 5, "step": 3.2}


@torch.no_grad()
def patterned(base: DiffusionModel, photos: Tensor, clean: Tensor) -> float:
    return -float((base.encode(photos) - base.encode(pattern(base.side))).square().mean())


@torch.no_grad()
def edits_to_grey(base: DiffusionModel, photos: Tensor, clean: Tensor) -> float:
    """What SDEdit with 4 steps makes of the photos."""
    condition, distances = base.condition([""]).expand(len(photos)), []
    for index in range(6):
        made = edited(base, base.encode(photos), condition, [500, 375, 250, 125], generator("test", index))
        distances.append((base.decode(made) - 0.5).square().mean())
    return -float(torch.stack(distances).mean())


CASES: list[tuple[str, dict[str, Any], Goal]] = [
    ("aspl", IN_TURNS, loss),
    ("aspl", IN_TURNS | {"targeted": True}, loss),
    ("fsmg", {"surrogate_steps": 4, "pgd_steps": 15, "step": 3.2}, loss),
    ("advdm", {"steps": 15, "step": 0.2}, loss),
    ("antipure", {"steps": 15, "step": 0.2}, purifier_errs),
    ("diffusionguard", {"steps": 15, "step": 3.2}, first_predicted),
    ("simac", IN_TURNS, loss),
    ("disdiff", IN_TURNS | {"step": 6.4}, loss),
    ("caat", {"steps": 15, "step": 3.2}, loss),
    ("metacloak", {"pool_steps": 4, "snapshots": 2, "unrolls": 2, "pgd_steps": 4, "step": 0.2}, loss),
    ("antidiffusion", IN_TURNS | {"prompt_steps": 2}, loss),
    ("dladiff", {"layers": [1], "static_steps": 4, "epochs": 3, "step": 3.2}, loss),
    ("mist", {"mode": "semantic", "steps": 15, "step": 0.2}, loss),
    ("mist", {"mode": "textural", "steps": 15, "step": 0.2}, patterned),
    ("mist", {"steps": 15, "step": 0.2}, loss),
    ("photoguard", {"steps": 15}, grey),
    ("photoguard", {"variant": "diffusion", "steps": 4, "step": 0.6}, edits_to_grey),
    ("photoguard", {"variant": "diffusion", "norm": "l2", "steps": 4, "step": 0.6}, edits_to_grey),
    ("pid", {"steps": 10, "step": 3.2}, shifted),
    ("sds", {"direction": "up", "steps": 15, "step": 0.2}, shifted),
    ("ace", {"rounds": 2, "pgd_steps": 8, "step": 3.2, "lora_steps": 1}, predicts_the_pattern),
    ("ace", {"mode": "ace_plus", "rounds": 2, "pgd_steps": 8, "step": 3.2, "lora_steps": 1}, patterned),
]


def protect(name: str, settings: dict[str, Any], base: DiffusionModel, photos: Tensor) -> Tensor:
    defense = DEFENSES.create(name, settings).resolved("facelet")
    context = defend_context(base, photos=photos, levels=LEVELS)
    try:
        return defense.protect(photos.clone(), context)
    finally:
        base.restore()


@pytest.fixture(scope="module")
def by_noise() -> dict[Goal, float]:
    """What noise reaches, the same for all cloaks with one goal; filled by the first of them."""
    return {}


@pytest.mark.parametrize(("name", "settings", "goal"), CASES)
def test_it_does_more_than_noise(
    name: str,
    settings: dict[str, Any],
    goal: Goal,
    base: DiffusionModel,
    photos: Tensor,
    by_noise: dict[Goal, float],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("defenses.timesteps.ROUNDS", 3)
    if goal not in by_noise:
        by_noise[goal] = goal(base, protect("noise", {}, base, photos), photos)
    assert goal(base, protect(name, settings, base, photos), photos) > by_noise[goal]


def test_disdiff_takes_attention_from_the_persons_token(base: DiffusionModel, photos: Tensor) -> None:
    """The erasure alone, at timesteps where steps are large."""
    from bench.models.diffusion.attention import watched
    from defenses.disdiff import erasure

    def erased(seen: Tensor) -> float:
        condition, values = base.condition([PROMPT]).expand(len(seen)), []
        words, places = base.token_places(PROMPT, PROMPT), base.token_places(PROMPT, "sks")
        for index in range(8):
            draw = generator("test", index)
            timesteps = torch.randint(0, 400, (len(seen),), generator=draw)
            noised = base.add_noise(base.encode(seen), torch.randn(2, *base.latent_shape, generator=draw), timesteps)
            with torch.no_grad(), watched(base.unet, {8, 16}) as maps:
                base.predict(noised, timesteps, condition)
                values.append(float(erasure(maps, places, words)))
        return sum(values) / len(values)

    settings = {"erasure_weight": 1e4, "search": False, "step": 3.2, "rounds": 3, "surrogate_steps": 0}
    cloaked, noise = protect("disdiff", settings, base, photos), protect("noise", {}, base, photos)
    assert erased(cloaked) > erased(noise)
