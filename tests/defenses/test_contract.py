"""What every defense promises: the budget on the saved PNG, determinism, one photo as well as several, and a surrogate
that comes back as it was. On tiny models, with everything that a method wants."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.core.budget import audit
from bench.core.images import png_bytes, read_png, to_pixels
from bench.core.profiling import counting
from bench.core.types import Budget
from bench.models.diffusion.base import DiffusionModel
from bench.runner.flops import _file
from countermeasures import Countermeasure
from countermeasures.quantise import Quantise
from defenses import DEFENSES, PHOTOS, Defense
from defenses.adaptive import Adaptive, seen_through
from defenses.placebo import Placebo
from defenses.timesteps import CANDIDATES
from tests.support import tiny
from tests.support.contexts import defend_context

IN_TURNS = {"rounds": 2, "surrogate_steps": 1, "pgd_steps": 2, "step": 9.0}
SMALL: dict[str, dict[str, Any]] = {
    "aspl": IN_TURNS,
    "antidreambooth": IN_TURNS,
    "simac": IN_TURNS,
    "disdiff": IN_TURNS | {"sides": [8]},
    "fsmg": {"surrogate_steps": 2, "pgd_steps": 3, "step": 9.0},
    "photoguard": {"steps": 4},
    "mist": {"steps": 4, "step": 0.6},
    "advdm": {"steps": 4, "step": 0.6},
    "sds": {"steps": 4, "step": 0.6},
    "pid": {"steps": 3, "step": 9.0},
    "caat": {"steps": 3, "step": 9.0},
    "metacloak": {"pool_steps": 2, "snapshots": 2, "unrolls": 1, "pgd_steps": 2, "step": 0.6},
    "antidiffusion": IN_TURNS | {"prompt_steps": 1, "sides": [8]},
    "ace": {"rounds": 2, "pgd_steps": 2, "step": 9.0, "lora_steps": 1},
    "dladiff": {"epochs": 2, "static_steps": 1, "attention_steps": 1, "loss_steps": 1, "dynamic_steps": 1, "step": 9.0}
    | {"sides": [8], "face_steps": 3, "face_step": 9.0},
    "idprotector_pgd": {"steps": 3, "step": 9.0},
    "idguardian": {"steps": 3, "step": 9.0},
    "faceshield": {"steps": 3, "step": 9.0, "sides": [8]},
    "diffusionguard": {"steps": 4, "step": 9.0},
    "adapter_shield": {"steps": 3, "step": 9.0},
    "antipure": {"steps": 4, "step": 0.6},
    "placebo": {"of": {"name": "advdm", "steps": 4, "step": 0.6}},
}
NAMES = [name for name in DEFENSES.names() if name != "precomputed" and not DEFENSES.get(name).families]
CLOAKS = [name for name in NAMES if name not in ("none", "jpeg")]

Make = Callable[..., Defense]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("defenses")


@pytest.fixture(scope="module")
def base(root: Path) -> DiffusionModel:
    return tiny.tiny_base(root / "tiny")


@pytest.fixture(scope="module")
def xl_base(root: Path) -> DiffusionModel:
    base = tiny.tiny_base(root / "xl", xl=True)
    tiny.ip_adapter(root / "xl_adapter", base.unet)
    return base


@pytest.fixture(scope="module")
def make(root: Path, base: DiffusionModel) -> Make:
    """`make(name, **settings)`: a defense with small settings and tiny networks."""
    pack = str(tiny.pack(root / "pack"))
    adapter = str(tiny.ip_adapter(root / "adapter", base.unet))
    needs: dict[str, dict[str, Any]] = {
        "dladiff": {"recognisers": [pack]},
        "idprotector_pgd": {
            "recognisers": [pack],
            "image_encoders": [f"{adapter}/image_encoder"],
            "photomaker": str(tiny.photomaker(root / "photomaker", base.unet)),
        },
        "adapter_shield": {"recognisers": [pack]},
        "idguardian": {"recognisers": [pack], "adapter": adapter},
        "faceshield": {"recognisers": [pack], "adapter": adapter},
    }

    def create(name: str, **more: Any) -> Defense:
        return DEFENSES.create(name, needs.get(name, {}) | SMALL.get(name, {}) | more).resolved("facelet")

    return create


@pytest.fixture(autouse=True)
def _short_search(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("defenses.timesteps.ROUNDS", 2)


@pytest.fixture(scope="module")
def photos() -> Tensor:
    """(2, 3, 32, 32) coloured noise, bright enough for the tiny detector, on exact 8-bit levels."""
    draw = torch.Generator().manual_seed(3)
    return (0.4 + 0.5 * torch.rand(2, 3, tiny.SIDE, tiny.SIDE, generator=draw)).mul(255).round().div(255)


def protect(defense: Defense, base: DiffusionModel, photos: Tensor, levels: float, seed: int = 0) -> Tensor:
    try:
        return defense.protect(photos.clone(), defend_context(base, photos=photos, levels=levels, seed=seed))
    finally:
        base.restore()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(levels=st.floats(0, 40), seed=st.integers(0, 3))
def test_the_saved_png_holds_the_budget(
    name: str, make: Make, base: DiffusionModel, photos: Tensor, tmp_path: Path, levels: float, seed: int
) -> None:
    cloaked = protect(make(name), base, photos, levels, seed)
    saved = []
    for index, picture in enumerate(to_pixels(cloaked)):
        (tmp_path / f"{index}.png").write_bytes(png_bytes(picture))
        saved.append(read_png(tmp_path / f"{index}.png"))
    assert audit(to_pixels(photos), saved, Budget(levels), name) <= levels


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_the_budget_is_used(name: str, make: Make, base: DiffusionModel, photos: Tensor) -> None:
    used = audit(to_pixels(photos), to_pixels(protect(make(name), base, photos, 6)), Budget(6), name)
    assert used == 6 or (name == "faceshield" and used >= 4)  # its filters take the peaks


@pytest.mark.parametrize("name", CLOAKS)
def test_the_seed_decides_everything(name: str, make: Make, base: DiffusionModel, photos: Tensor) -> None:
    cloaked = protect(make(name), base, photos, 8)
    assert torch.equal(cloaked, protect(make(name), base, photos, 8))
    assert not torch.equal(cloaked, protect(make(name), base, photos, 8, seed=1))


@pytest.mark.parametrize("name", CLOAKS)
def test_a_surrogate_of_sdxl_will_do(
    name: str, make: Make, root: Path, xl_base: DiffusionModel, photos: Tensor
) -> None:
    more = {"adapter": str(root / "xl_adapter")} if name in ("idguardian", "faceshield") else {}
    before = xl_base.snapshot()
    cloaked = protect(make(name, **more), xl_base, photos, 8)
    assert audit(to_pixels(photos), to_pixels(cloaked), Budget(8), name) >= 6
    after = xl_base.snapshot()
    assert all(torch.equal(after[part][key], value) for part in before for key, value in before[part].items())


@pytest.mark.parametrize("name", NAMES)
def test_the_surrogate_comes_back_as_it_was_and_one_photo_will_do(
    name: str, make: Make, base: DiffusionModel, photos: Tensor
) -> None:
    before, processors = base.snapshot(), dict(base.unet.attn_processors)
    protect(make(name), base, photos[:1], 8)
    after = base.snapshot()
    for part in before:
        assert after[part].keys() == before[part].keys()
        assert all(torch.equal(after[part][key], value) for key, value in before[part].items())
    assert {k: type(v) for k, v in base.unet.attn_processors.items()} == {k: type(v) for k, v in processors.items()}
    assert not any(weight.requires_grad for weight in base.unet.parameters())


PARTS = ({"layers": [2]}, {"layers": [1], "adft": False}, {"layers": [1], "dsur": False})
"""DLADiff's objectives one by one."""


@pytest.mark.parametrize(
    ("name", "settings"),
    [(name, {}) for name in CLOAKS if issubclass(DEFENSES.get(name), Adaptive)] + [("dladiff", part) for part in PARTS],
)
def test_whoever_can_be_made_through_a_countermeasure_is(
    name: str,
    settings: dict[str, Any],
    make: Make,
    base: DiffusionModel,
    photos: Tensor,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    seen, through = [], seen_through

    def watched(each: Countermeasure, photos: Tensor, generator: torch.Generator) -> Tensor:
        seen.append(each)
        return through(each, photos, generator)

    monkeypatch.setattr("defenses.adaptive.seen_through", watched)
    plain = protect(make(name, **settings), base, photos, 8)
    assert not seen
    assert not torch.equal(protect(make(name, through=["quantise"], **settings), base, photos, 8), plain)
    assert {type(each) for each in seen} == {Quantise}


@pytest.mark.parametrize("name", NAMES)
def test_every_defense_has_a_card(name: str) -> None:
    """Idea, what it attacks, budget and cost; the paper's name; a first line for tables."""
    import inspect
    import sys

    cls = DEFENSES.get(name)
    assert cls.__doc__
    if name in ("none", "noise", "jpeg", "placebo"):
        assert cls.__doc__.startswith(("Control", "No"))
        return
    card = inspect.getdoc(sys.modules[cls.__module__]) or ""
    assert all(word in card for word in ("Idea:", "Attacks:", "udget", "Cost per photo:"))
    assert cls.paper


@pytest.mark.parametrize("name", [name for name in CLOAKS if DEFENSES.get(name).loop])
def test_effort_is_what_passes_through_the_networks(
    name: str, make: Make, base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("simac", "disdiff"):
        monkeypatch.setattr(f"defenses.{module}.SEARCH", 2 * CANDIDATES)  # of the two rounds of `_short_search`
    made = make(name)
    defense = replace(made, **{made.loop: 3})
    four = torch.cat([photos, photos.flip(-1)])
    with counting() as passes:
        protect(defense, base, four, 8)
    if name in ("idprotector_pgd", "adapter_shield"):
        assert not passes, "these look through encoders alone"
        return
    network = "unet" if name not in ("pid", "photoguard") else "encoder"
    targets = 1 if network == "encoder" else 0  # a photo, or all of them once, to aim at
    assert sum(passes[network].values()) / PHOTOS - (defense.effort or 0) in (0, targets, targets / PHOTOS)


@pytest.mark.parametrize("entry", [entry for entry in _file()["counted"] if entry["stage"] == "protect"])
def test_published_effort_is_what_was_counted(entry: dict[str, Any]) -> None:
    defense = DEFENSES.create(entry["name"], {}).resolved("sd")
    counted = sum(entry["passes"].get("unet", {}).values()) / PHOTOS
    assert counted in (0, defense.effort)


@pytest.mark.parametrize("name", [name for name in CLOAKS if DEFENSES.get(name).loop])
def test_equal_effort_is_as_near_as_whole_turns_come(name: str) -> None:
    defense = DEFENSES.get(name)().resolved("facelet")
    equal = defense.at_effort(300)
    turn = defense.evaluations(2) - defense.evaluations(1)
    assert equal.effort
    assert abs(equal.effort - 300) <= turn / 2
    assert equal == replace(defense, **{defense.loop: getattr(equal, defense.loop)}), "nothing else is touched"
    assert defense.at_effort(1).effort == round(defense.evaluations(1)), "at least one turn"


def test_effort_of_a_placebo_is_that_of_its_cloak_and_controls_have_none() -> None:
    placebo = DEFENSES.create("placebo", {"of": {"name": "aspl"}}).resolved("facelet").at_effort(120)
    assert isinstance(placebo, Placebo)
    assert placebo.of["rounds"] == 10
    assert DEFENSES.create("noise", {}).effort is None
    face_alone = DEFENSES.create("dladiff", {"layers": [2]}).resolved("facelet")
    assert face_alone.at_effort(300) == face_alone, "its second layer ends by itself"
