"""The placebo: somebody else's cloak, which is known where the defense is: its changes are those made elsewhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.config.resolved_method import ResolvedMethod
from bench.core import code_version
from bench.core.errors import BenchError
from bench.core.images import to_tensor
from bench.data.synthetic import ROOT
from bench.models.diffusion.base import DiffusionModel
from bench.runner.stages import protect
from bench.stats.rule import CONTROLS
from defenses import DEFENSES, Context, Defense
from defenses.placebo import Placebo
from tests.support import tiny
from tests.support.contexts import defend_context
from tests.support.plans import planned

ADVDM: dict[str, Any] = {"name": "advdm", "steps": 4, "step": 0.6}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> DiffusionModel:
    return tiny.tiny_base(tmp_path_factory.mktemp("placebo"))


@pytest.fixture
def photos() -> Tensor:
    """(6, 3, 32, 32) far from black and white: more photos than an invented person has."""
    draw = torch.Generator().manual_seed(1)
    return (0.3 + 0.4 * torch.rand(6, 3, tiny.SIDE, tiny.SIDE, generator=draw)).mul(255).round().div(255)


def placebo(**of: Any) -> Defense:
    return DEFENSES.create("placebo", {"of": of}).resolved("facelet")


def cloaked(base: DiffusionModel, photos: Tensor, seed: int = 0, **of: Any) -> Tensor:
    try:
        return placebo(**of).protect(photos.clone(), defend_context(base, photos=photos, seed=seed))
    finally:
        base.restore()


def test_the_change_is_what_the_defense_does_to_an_invented_person(
    base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a defense that writes down whom it was given, and makes every photo's change another."""
    given: list[tuple[Tensor, Context]] = []

    def write_down(self: Defense, own: Tensor, context: Context) -> Tensor:
        given.append((own, context))
        return own + torch.arange(1, len(own) + 1)[:, None, None, None] / 255

    monkeypatch.setattr(DEFENSES.get("noise"), "protect", write_down)
    changes = (cloaked(base, photos, name="noise") - photos).mul(255).round()
    assert [sorted(set(change.flatten().tolist())) for change in changes] == [[1], [2], [3], [4], [1], [2]]
    ((own, context),) = given
    folder = ROOT / context.identity
    for part, tensor in (("set_B", own), ("set_A", context.reference)):
        files = sorted((folder / part).glob("*.png"))
        shrunk = [np.asarray(Image.open(f).resize((tiny.SIDE, tiny.SIDE), Image.Resampling.LANCZOS)) for f in files]
        assert torch.equal(tensor, to_tensor(shrunk))
    assert list(context.names) == [file.name for file in sorted((folder / "set_B").glob("*.png"))]


def test_it_differs_from_the_real_cloak(base: DiffusionModel, photos: Tensor) -> None:
    """As two cloaks of one budget may: their changes have next to nothing in common."""
    real = DEFENSES.create("advdm", {"steps": 4, "step": 0.6}).resolved("facelet")
    try:
        own = real.protect(photos.clone(), defend_context(base, photos=photos)) - photos
    finally:
        base.restore()
    other = cloaked(base, photos, **ADVDM) - photos
    assert float(other.abs().max()) == pytest.approx(8 / 255, abs=1e-6)
    cosine = torch.nn.functional.cosine_similarity(own[:4].flatten(1), other[:4].flatten(1))
    assert float(cosine.abs().max()) < 0.5


def test_nobody_is_their_own_placebo(base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch) -> None:
    chosen = set()

    def write_down(self: Defense, own: Tensor, context: Context) -> Tensor:
        chosen.add(context.identity)
        return own

    monkeypatch.setattr(DEFENSES.get("noise"), "protect", write_down)
    context = defend_context(base, photos=photos)
    context.identity = "p01"
    for _ in range(200):
        placebo(name="noise").protect(photos, context)
    assert chosen == {folder.name for folder in ROOT.iterdir() if folder.is_dir()} - {"p01"}


def test_it_is_a_control_with_the_settings_and_files_of_its_defense() -> None:
    made = placebo(name="dladiff", epochs=3)
    assert isinstance(made, Placebo)
    assert made.of["epochs"] == 3
    assert made.of["static_steps"] == 100  # of the preset, which the surrogate's family decides
    assert made.files()["of"] != placebo(name="dladiff", epochs=4).files()["of"]
    assert placebo(name="dladiff", epochs=3).files() == made.files()
    assert "placebo" in CONTROLS


def test_new_code_of_its_defense_is_another_output_of_the_same_cell(monkeypatch: pytest.MonkeyPatch) -> None:
    def planned_once() -> tuple[str, str]:
        (cell,) = planned(
            "suite.defenses=[{name: placebo, of: {name: noise}}]", "suite.attacks=[lora]", "data.limit=1"
        )[1:]
        return cell.id, protect.key(cell.defense, cell.identity, cell.budget, (), cell.seed)

    former = planned_once()
    real = code_version.code_version
    noise = DEFENSES.get("noise")
    monkeypatch.setattr("defenses.placebo.code_version", lambda cls: "new" if cls is noise else real(cls))
    cell, output = planned_once()
    assert cell == former[0]
    assert output != former[1]


@pytest.mark.parametrize(
    ("of", "said"),
    [
        ({}, "name=None"),
        ({"name": "placebo"}, "makes no cloak"),
        ({"name": "none"}, "makes no cloak"),
        ({"name": "mits"}, "mist"),
        ({"name": "mist", "stesp": 3}, r"defense\.of\.stesp"),
    ],
)
def test_what_makes_no_cloak_is_refused(of: dict[str, Any], said: str) -> None:
    with pytest.raises(BenchError, match=said):
        placebo(**of)


def test_settings_that_name_files_do_not_name_the_output(tmp_path: Path) -> None:
    """The same networks elsewhere are the same placebo."""
    packs = [str(tiny.pack(tmp_path / name)) for name in ("here", "there")]
    methods = [ResolvedMethod.of("placebo", placebo(name="dladiff", recognisers=[pack])) for pack in packs]
    one, other = ((m.facts(m.instance.files()), m.instance.files()) for m in methods)
    assert one == other
