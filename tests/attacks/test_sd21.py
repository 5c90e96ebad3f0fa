"""Stable Diffusion 2.1's type, which predicts v: every attack on a tiny model of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from attacks import ATTACKS, Attack
from bench.models.diffusion.base import DiffusionModel
from tests.support import tiny
from tests.support.contexts import fit_context
from tests.support.drawing import call, pictures, plain, second, stock

SMALL = {"steps": 2, "batch": 2, "learning_rate": 1e-2}
SETTINGS: dict[str, dict[str, Any]] = {
    "dreambooth": SMALL | {"train_text_encoder": True, "prior_weight": 0.0},
    "lora": SMALL | {"rank": 4},
    "textual_inversion": SMALL | {"vectors": 2, "learning_rate": 0.3},
    "ip_adapter": {},
    "photomaker": {},
    "instantid": {},
}
WRITERS = {"ip_adapter": tiny.ip_adapter, "photomaker": tiny.photomaker, "instantid": tiny.instantid}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny.tiny_base(tmp_path_factory.mktemp("sd21") / "tiny", v=True)


@pytest.fixture(params=list(SETTINGS))
def attack(request: pytest.FixtureRequest, base: DiffusionModel, tmp_path: Path) -> Iterator[Attack]:
    settings = dict(SETTINGS[request.param])
    if request.param in WRITERS:
        settings["weights"] = str(WRITERS[request.param](tmp_path / "adapter", base.unet))
    if request.param == "instantid":
        settings["recogniser"] = str(tiny.pack(tmp_path / "pack"))
    made = ATTACKS.create(request.param, settings).resolved("sd")
    made.prepare(base)
    yield made
    made.reset()


def test_pictures_are_those_of_the_stock_pipeline(base: DiffusionModel) -> None:
    assert base.scheduler.config.prediction_type == "v_prediction"
    assert torch.allclose(plain(base), call(stock(base), base), atol=1e-5)


def test_it_changes_the_pictures_and_reset_takes_all_of_it_out(attack: Attack) -> None:
    before, kept = plain(attack.base), attack.base.snapshot()
    changed = pictures(attack, attack.fit(tiny.person(0), fit_context()))
    assert float((changed - before).abs().mean()) > 1e-3
    attack.reset()
    after = attack.base.snapshot()
    assert all(torch.equal(kept[part][name], after[part][name]) for part in kept for name in kept[part])
    assert torch.equal(plain(attack.base), before)


def test_people_do_not_depend_on_who_came_before_nor_pictures_on_their_batch(attack: Attack) -> None:
    artifacts = [attack.fit(tiny.person(who), fit_context()) for who in (0, 1, 0)]
    assert all(torch.equal(artifacts[0][name], artifacts[2][name]) for name in artifacts[0])
    made = pictures(attack, artifacts[0])
    assert not torch.allclose(pictures(attack, artifacts[1]), made, atol=1e-3)
    assert torch.allclose(second(attack, artifacts[2]), made[1:], atol=1e-5)
