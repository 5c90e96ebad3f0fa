"""Corners where an obvious implementation is wrong: each was, once."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import make_dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.config.compose import prepare
from bench.core.code_version import code_version
from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.images import crop_centre
from bench.core.plugins import import_plugins, loaded_class
from bench.core.registry import Registry
from bench.data.folder import Folder
from bench.evaluation.thresholds import calibrate
from bench.store import Store, write_atomic
from tests.support.contexts import ROOT


@pytest.mark.parametrize("size", [(6, 5), (5, 6), (10, 5), (64, 64)])
def test_the_centre_crop_repeats_no_border(size: tuple[int, int]) -> None:
    assert crop_centre(Image.new("RGB", size)).size == (min(size), min(size))


@pytest.mark.parametrize(("count", "far"), [(150, 0.01), (15_600, 0.001), (1_000, 0.05)])
def test_no_more_impostors_pass_than_stated(count: int, far: float) -> None:
    scores = np.random.default_rng(0).normal(size=(count, 1))
    threshold = calibrate({"a": np.ones(1)}, {"b": scores}, far, np.empty((0, 1)))
    passing = (scores >= threshold.value).mean()
    assert passing <= far
    assert passing >= far - 1 / count


def test_hydra_flags_that_take_a_value_are_not_settings() -> None:
    prepare(["--cfg", "job"])
    prepare(["budget=4", "-m", "attack=lora,dreambooth"])


def test_integer_keys_are_not_strings() -> None:
    with pytest.raises(TypeError):
        hash_of({"a": [{1: 2}]})


def test_finding_a_code_version_imports_nothing() -> None:
    script = (
        "import sys; from bench.core.code_version import module_version; "
        "module_version('defenses'); print('torch' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


@pytest.mark.parametrize("count", [4, 5])
def test_a_flat_folder_needs_as_many_photos_as_it_says(tmp_path: Path, count: int) -> None:
    (tmp_path / "ann").mkdir()
    for i in range(count):
        Image.new("RGB", (8, 8)).save(tmp_path / "ann" / f"{i}.png")
    with pytest.raises(BenchError, match="too few"):
        Folder(str(tmp_path)).load(8)


def test_an_output_with_a_sub_folder_can_be_discarded(tmp_path: Path) -> None:
    def work(folder: Path) -> None:
        (folder / "sub").mkdir()
        (folder / "sub" / "x").write_text("1")

    store = Store(tmp_path)
    store.compute("fit", "ab", work)
    store.discard("fit", "ab")
    assert store.find("fit", "ab") is None
    assert store.cost("fit", "ab") is not None


def test_a_failed_write_leaves_nothing_behind(tmp_path: Path) -> None:
    (tmp_path / "folder").mkdir()
    with pytest.raises(OSError, match="folder"):
        write_atomic(tmp_path / "folder", b"x")
    assert [path.name for path in tmp_path.iterdir()] == ["folder"]


def test_plugin_files_of_one_name_are_two_modules(tmp_path: Path) -> None:
    classes = []
    for name in "ab":
        file = tmp_path / name / "cloak.py"
        file.parent.mkdir()
        file.write_text(f"class Mine: value = {name!r}\n")
        import_plugins([str(file)])
        classes.append(loaded_class(str(file), "Mine"))
    assert code_version(classes[0]) != code_version(classes[1])


def test_a_class_of_another_file_does_not_replace_the_first() -> None:
    registry: Registry[object] = Registry("defense", "nobody.defenses", {})
    one, two = make_dataclass("Mine", [("x", int, 1)]), make_dataclass("Mine", [("y", int, 1)])
    one.__module__, two.__module__ = "one", "two"
    registry.register("mine")(one)
    with pytest.raises(BenchError, match="exists already"):
        registry.register("mine")(two)


def test_a_broken_builtin_has_its_line_in_the_list() -> None:
    registry: Registry[object] = Registry("defense", "nobody.defenses", {"x": "no_such_module:X"})
    assert registry.entries()[0].origin == "broken"


def test_a_shared_prefix_is_no_resemblance() -> None:
    with pytest.raises(BenchError) as caught:
        prepare(["defense=noise", "defense.zzz=3"])
    assert "Did you mean" not in caught.value.fix
