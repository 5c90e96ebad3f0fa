"""Trained parts go to the repository and into the package whole, in half precision, or not at all."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.core.errors import BenchError
from bench.models.weights.files import ZOO
from bench.zoo.train import family
from bench.zoo.train.family import adopt_kept, read_parts
from bench.zoo.train.keep import keep
from bench.zoo.train.keep import main as keep_command
from bench.zoo.train.ship import PLACES, ship
from bench.zoo.train.ship import main as ship_command

WEIGHTS = {"layer.weight": torch.tensor([1 / 3, 2.0]), "norm.num_batches_tracked": torch.tensor(70000)}
STORED = {"layer.weight": torch.tensor([1 / 3, 2.0]).half(), "norm.num_batches_tracked": torch.tensor(70000)}


def same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> bool:
    return found.keys() == wanted.keys() and all(
        found[name].dtype == value.dtype and torch.equal(found[name], value) for name, value in wanted.items()
    )


@pytest.fixture
def out(tmp_path: Path) -> Path:
    """A family in which everything is finished."""
    for source in PLACES:
        file = tmp_path / "out" / source
        if not file.suffix:
            file /= "unet/weights.safetensors"
        file.parent.mkdir(parents=True, exist_ok=True)
        save_file(WEIGHTS, file, {"format": "pt"})
        (file.parent / "config.json").write_text(json.dumps({"of": source}))
    return tmp_path / "out"


def test_every_part_comes_to_its_place_in_half_precision(out: Path, tmp_path: Path) -> None:
    old = tmp_path / "zoo" / "facelet-2" / "unet" / "of_the_former_edition.safetensors"
    old.parent.mkdir(parents=True)
    old.touch()
    ship(out, tmp_path / "zoo")
    assert not old.exists()
    for source, place in PLACES.items():
        file = tmp_path / "zoo" / place
        assert same(load_file(file if file.is_file() else file / "unet/weights.safetensors"), STORED), source
        if file.is_dir():
            assert json.loads((file / "unet" / "config.json").read_text()) == {"of": source}
    assert not list((tmp_path / "zoo").rglob("*.partial"))
    assert same(load_file(out / "ip-adapter/final/ip-adapter.safetensors"), WEIGHTS)


def test_the_places_are_those_of_the_family_that_is_shipped() -> None:
    assert [place for place in PLACES.values() if not (ZOO / place).exists()] == []


def test_what_is_not_finished_ships_nothing(out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (out / "ip-adapter/final/ip-adapter.safetensors").unlink()
    with pytest.raises(BenchError, match=r"lacks ip-adapter/final/ip-adapter\.safetensors\."):
        ship(out, tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()
    assert ship_command([]) == 2
    assert "usage" in capsys.readouterr().out


def test_kept_parts_are_finished_for_the_next_machine(out: Path, tmp_path: Path) -> None:
    keep(out, ["facelet-2"], tmp_path / "kept")
    with initialize_config_dir(str(Path(family.__file__).parent / "conf"), version_base=None):
        config = compose("family", overrides=[f"out={tmp_path / 'new'}", "only=[facelet-2,id-b]"])
    parts = read_parts(config)
    adopt_kept(parts, tmp_path / "kept")
    assert {part.name: part.done.exists() for part in parts} == {"id-b": False, "facelet-2": True}
    assert same(load_file(tmp_path / "new" / "facelet-2" / "final" / "unet" / "weights.safetensors"), STORED)


def test_parts_that_are_not_finished_are_not_kept(
    out: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(BenchError, match=r"Not finished in .*: id-b\."):
        keep(out, ["facelet-2", "id-b"], tmp_path / "kept")
    with pytest.raises(BenchError, match=r"Unknown part 'facelet2'\.\sDid you mean 'facelet-2'\?"):
        keep(out, ["facelet2"], tmp_path / "kept")
    assert not (tmp_path / "kept").exists()
    assert keep_command([str(out)]) == 2
    assert "usage" in capsys.readouterr().out
