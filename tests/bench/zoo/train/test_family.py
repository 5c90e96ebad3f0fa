"""The command that trains the family: order, what is finished, what is interrupted, what fails."""

from __future__ import annotations

import sys
import time
from datetime import datetime
from importlib import import_module
from pathlib import Path

import pytest
import torch
from hydra import compose, initialize_config_dir
from omegaconf import DictConfig, OmegaConf

import bench.zoo.train as training
from bench.core.errors import BenchError
from bench.zoo.train.family import FamilyPart, adopt_kept, print_left, read_parts, seconds_until, train_parts
from bench.zoo.train.loop import STOPPED

CONF = Path(training.__file__).parent / "conf"

STUB = """
import os, pathlib, signal, sys
name, out, how = sys.argv[1:]
folder = pathlib.Path(out, name)
folder.mkdir(exist_ok=True)
with open(pathlib.Path(out, "log"), "a") as log:
    print(name, file=log)
again = (folder / "begun").exists()
(folder / "begun").touch()
if how == "endless":
    signal.pause()
if how == "calls":
    os.kill(os.getppid(), signal.SIGTERM)
if how == "fails" and not again:
    sys.exit(3)
if how == "stops" and not again:
    sys.exit(143)
if how != "nothing":
    (folder / "final").mkdir()
"""


def parts(out: Path, **how: str) -> list[FamilyPart]:
    """Stubs that finish, fail or are interrupted the first time, never end, or write nothing."""
    return [
        FamilyPart(name, [sys.executable, "-c", STUB, name, str(out), way], out / name, out / name / "final", 10, 1.0)
        for name, way in how.items()
    ]


def log(out: Path) -> list[str]:
    return (out / "log").read_text().split()


def test_parts_are_trained_in_order_and_finished_ones_are_skipped(tmp_path: Path) -> None:
    (tmp_path / "b" / "final").mkdir(parents=True)
    assert train_parts(parts(tmp_path, c="works", b="fails", a="works"))
    assert log(tmp_path) == ["c", "a"]


def test_what_is_kept_is_not_trained_again_and_never_covers_work_that_is_begun(tmp_path: Path) -> None:
    kept, out = tmp_path / "kept", tmp_path / "zoo"
    for name in ("a", "b"):
        (kept / name).mkdir(parents=True)
        (kept / name / "network.safetensors").write_text(f"kept {name}")
    (out / "b").mkdir(parents=True)
    family = parts(out, a="works", b="works", c="works")
    adopt_kept(family, kept)
    assert (out / "a" / "final" / "network.safetensors").read_text() == "kept a"
    assert train_parts(family)
    assert log(out) == ["b", "c"]


def test_an_interrupted_part_goes_on_with_the_same_command(tmp_path: Path) -> None:
    assert STOPPED == 143
    family = parts(tmp_path, a="works", b="stops", c="works")
    assert not train_parts(family)
    assert log(tmp_path) == ["a", "b"]
    assert train_parts(family)
    assert log(tmp_path) == ["a", "b", "b", "c"]


@pytest.mark.parametrize(("how", "why"), [("fails", "status 3"), ("nothing", "did not write")])
def test_a_failed_part_ends_everything_with_its_name(tmp_path: Path, how: str, why: str) -> None:
    with pytest.raises(BenchError, match=rf"'b' .*{why}"):
        train_parts(parts(tmp_path, a="works", b=how, c="works"))
    assert log(tmp_path) == ["a", "b"]


def test_a_part_is_asked_to_end_when_the_time_is_over(tmp_path: Path) -> None:
    assert not train_parts(parts(tmp_path, a="endless", b="works"), deadline=time.time() + 0.2)
    assert not train_parts(parts(tmp_path, b="works"), deadline=time.time())
    assert not (tmp_path / "b").exists()


def test_whoever_asks_the_whole_family_to_end_ends_it_after_a_part_that_was_just_finished(tmp_path: Path) -> None:
    family = parts(tmp_path, a="calls", b="works")
    assert not train_parts(family)
    assert log(tmp_path) == ["a"]
    assert (tmp_path / "a" / "final").is_dir()
    assert train_parts(family)


def test_what_is_left_counts_a_checkpoint_at_its_own_speed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    family = parts(tmp_path, a="works", b="works", c="works")
    for name in "ab":
        (tmp_path / name).mkdir()
    (tmp_path / "a" / "final").mkdir()
    torch.save({"step": 4, "seconds": 3600.0}, tmp_path / "b" / "state.pt")
    assert [part.left() for part in family] == [(0, 0.0), (6, 1.5), (10, 1.0)]
    print_left(family)
    assert "1 of 3 parts are finished, about 2.5 hours left" in capsys.readouterr().out


def test_a_time_of_day_or_minutes() -> None:
    now = datetime(2026, 1, 1, 10, 30)
    assert seconds_until("10:50", now) == 20 * 60
    assert seconds_until("10:30", now) == 24 * 3600
    assert seconds_until(90, now) == 90 * 60
    assert seconds_until(None, now) == float("inf")
    with pytest.raises(BenchError, match="no time"):
        seconds_until("tonight", now)


def family(*overrides: str) -> DictConfig:
    with initialize_config_dir(str(CONF), version_base=None):
        return compose("family", list(overrides))


def test_every_part_of_the_family_has_its_module_and_takes_its_arguments() -> None:
    """Each command's own configuration has every key that the command sets, and writes where the next part reads."""
    for part in read_parts(family("out=elsewhere")):
        _, _, module, *arguments = part.command
        named = [word.partition("=")[2] for word in arguments if word.startswith("--config-name=")]
        overrides = [word for word in arguments if not word.startswith("--")]
        with initialize_config_dir(str(CONF), version_base=None):
            config = compose(named[0] if named else CONFIGS[module], overrides)
        assert callable(import_module(module).main)
        resolved = OmegaConf.to_container(config, resolve=True)
        assert "work/zoo" not in str(resolved)
        assert Path(config.out) in (part.folder, part.done.parent, part.done.parents[1])


CONFIGS = {
    "bench.zoo.train.photos": "photos",
    "bench.zoo.train.recogniser": "id-a",
    "bench.zoo.train.detector": "detector",
    "bench.zoo.train.export": "export",
    "bench.zoo.train.vae": "vae",
    "bench.zoo.train.base": "facelet-1",
    "bench.zoo.train.names": "names",
    "bench.zoo.train.flow_base": "facelet-3",
    "bench.zoo.train.image_encoder": "image_encoder",
    "bench.zoo.train.ip_adapter": "ip-adapter",
    "bench.zoo.train.photomaker": "photomaker",
    "bench.zoo.train.instantid": "instantid",
    "bench.zoo.train.person": "person",
}
"""The configuration of each module that none is named for."""


@pytest.mark.parametrize("file", sorted(CONF.glob("*.yaml")), ids=lambda file: file.stem)
def test_no_command_leaves_a_folder_of_hydras_behind(file: Path) -> None:
    hydra = OmegaConf.load(file).hydra
    assert (hydra.output_subdir, hydra.run.dir) == (None, ".")


def test_some_parts_alone() -> None:
    assert [part.name for part in read_parts(family("only=[id-b,id-a]"))] == ["id-a", "id-b"]
    with pytest.raises(BenchError, match="id-c"):
        read_parts(family("only=[id-c]"))
    assert family("until=10:50").until == "10:50"
