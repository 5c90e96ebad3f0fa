"""Defenses on a flow-matching transformer: what is generic works as it is."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from bench.core.seeding import generator
from bench.core.types import Budget
from bench.models.diffusion.flow import FlowModel
from defenses import DEFENSES
from defenses.antidiffusion import amount
from defenses.disdiff import erasure
from defenses.dladiff import attention_distance
from defenses.objectives import caption, denoise
from defenses.pgd import pgd
from tests.support import tiny_flow
from tests.support.contexts import defend_context
from tests.support.drawing import plain
from tests.support.tiny import SIDE

LEARNING = {"learning_rate": 1e-3, "prior_weight": 0.0}
IN_TURNS = LEARNING | {"rounds": 1, "surrogate_steps": 1, "batch": 2, "pgd_steps": 1, "step": 2}
SHORT = {"layers": [1], "epochs": 1, "loss_steps": 1, "dynamic_steps": 1, "step": 2}
DSUR = SHORT | {"static_steps": 1, "static_rate": 1e-3, "attention_steps": 1}
WORKING: dict[str, dict[str, Any]] = {
    "aspl": IN_TURNS,
    "aspl, targeted": IN_TURNS | {"targeted": True},
    "advdm": {"steps": 1},
    "mist": {"steps": 1},
    "photoguard": {"steps": 1},
    "pid": {"steps": 1, "step": 2},
    "sds": {"steps": 1},
    "ace": {"rounds": 1, "pgd_steps": 1, "lora_steps": 1, "step": 2},
    "fsmg": {"surrogate_steps": 1, "pgd_steps": 1, "step": 2, "prior_weight": 0.0},
    "fsmg, targeted": {"surrogate_steps": 1, "pgd_steps": 1, "step": 2, "prior_weight": 0.0, "targeted": True},
    "metacloak": {
        "pool_steps": 1,
        "snapshots": 1,
        "trials": 1,
        "unrolls": 1,
        "prior_weight": 0.0,
        "learning_rate": 1e-3,
    },
    "diffusionguard": {"steps": 1, "step": 2},
    "dladiff": DSUR,
    "dladiff, by head": DSUR | {"heads": "each", "adft": False},
    "dladiff, without attention": SHORT | {"dsur": False},
    "disdiff": IN_TURNS | {"search": False, "step": 8},
    "antidiffusion": {"rounds": 1, "prompt_steps": 1, "pgd_steps": 1, "surrogate_steps": 1, "step": 2},
    "caat": {"steps": 1, "step": 2},
    "simac": IN_TURNS,
}
REFUSED: dict[str, dict[str, Any]] = {
    "antipure": {},
    "idguardian": {},
    "faceshield": {},
    "photoguard": {"variant": "diffusion"},
    "placebo": {"of": {"name": "antipure"}},
}


@pytest.fixture(scope="module", params=[tiny_flow.sd3, tiny_flow.flux], ids=["sd3", "flux"])
def base(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> FlowModel:
    made: FlowModel = request.param(tmp_path_factory.mktemp("flow") / "tiny")
    return made


@pytest.fixture(scope="module")
def photos() -> Tensor:
    return torch.rand(2, 3, SIDE, SIDE, generator=generator("photos")).mul(255).round().div(255)


@pytest.mark.parametrize("name", WORKING)
def test_a_cloak_is_made_and_keeps_its_budget(
    base: FlowModel, photos: Tensor, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("defenses.timesteps.ROUNDS", 2)
    defense = DEFENSES.create(name.partition(",")[0], WORKING[name]).resolved("sd3")
    assert not defense.unet_only
    before = plain(base)
    cloaked = defense.protect(photos, defend_context(base, photos=photos))
    base.restore()
    change = (cloaked - photos).abs().flatten(1).amax(dim=1) * 255
    assert bool((change > 0.5).all())
    assert bool((change < 8.001).all())
    assert torch.equal(plain(base), before)


@pytest.mark.parametrize("name", ["distance", "erasure", "amount"])
def test_what_looks_at_joint_attention_moves_it(base: FlowModel, photos: Tensor, name: str) -> None:
    """DLADiff's distance grows, which is nothing for the same photos; DisDiff's erasure grows, and the rest shrinks."""
    prompt = "a photo of sks person"
    condition = caption(base, prompt, len(photos))
    words, places = base.token_places(prompt, prompt), base.token_places(prompt, "sks")

    def asked(candidates: Tensor) -> Tensor:
        draw = generator("draw")
        if name == "distance":
            return attention_distance(base, base, photos, prompt, None, draw)(candidates)
        if name == "erasure":
            with base.watched() as maps:
                denoise(base, candidates, condition, draw)
            return erasure(maps, places, words)
        with base.attention_to_prompt() as by_head:
            denoise(base, candidates, condition, draw)
        return -amount(by_head)

    before = float(asked(photos))
    assert name != "distance" or before == 0
    start = (photos + 1 / 255).clamp(0, 1) if name == "distance" else photos
    moved = pgd(start, photos, asked, Budget(16), 2.0, 5)
    assert float(asked(moved)) > float(asked(start))


@pytest.mark.parametrize("name", REFUSED)
def test_what_looks_into_a_unet_says_so(name: str) -> None:
    assert DEFENSES.create(name, REFUSED[name]).resolved("sd3").unet_only
