"""Pictures out of a run, crops for another tool, and the interface for Python."""

from __future__ import annotations

import shutil
from io import StringIO
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

import bench.export as command
from bench.api import Evaluation, export
from bench.config.compose import settings_of
from bench.core.errors import BenchError
from bench.core.types import Identity, Photo
from bench.results.record import load_all, save
from bench.runner.run import run
from tests.support.runs import SMALL, places, small_run


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("finished")
    status, _, _ = small_run(folder)
    assert status == 0
    return folder / "out"


def pictures(folder: Path) -> list[Path]:
    return sorted(file.relative_to(folder) for file in folder.rglob("*.png"))


def read(file: Path) -> np.ndarray[tuple[int, ...], np.dtype[np.int16]]:
    with Image.open(file) as image:
        return np.asarray(image).astype(np.int16)


def test_a_runs_pictures_are_in_folders_for_people(finished: Path, tmp_path: Path) -> None:
    count = export(finished, tmp_path)
    files = pictures(tmp_path)
    assert count == len(files)
    arms = {file.parts[1] for file in files}
    assert arms == {"base", "clean", "noise 8-255", "aspl 8-255"}
    person = tmp_path / files[0].parts[0]
    assert {path.name for path in (person / "aspl 8-255").iterdir()} == {"photo", "cloaked", "change x8", "generated"}
    arm = person / "aspl 8-255"
    photo, cloaked, change = (read(arm / name / "000.png") for name in ("photo", "cloaked", "change x8"))
    assert abs(cloaked - photo).max() == 8
    assert (change == (128 + 8 * (cloaked - photo)).clip(0, 255)).all()
    generated = arm / "generated" / "dreambooth"
    assert len(list(generated.iterdir())) == len(load_all(finished)[0].images)


def test_seeds_have_folders_of_their_own(finished: Path, tmp_path: Path) -> None:
    """Pictures of one arm and person would else lie on top of each other."""
    out = shutil.copytree(finished, finished.with_name("seeds"))  # a run moves together with its store
    for record in load_all(out):
        save(record.model_copy(update={"seed": 1, "cell": record.cell[::-1]}), out / "cells")
    count = export(out, tmp_path / "pictures")
    files = pictures(tmp_path / "pictures")
    assert count == len(files)
    assert {file.parts[1] for file in files} >= {"clean (seed 0)", "clean (seed 1)"}


def test_what_is_no_run_says_so(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no finished cells"):
        export(tmp_path, tmp_path / "x")
    with pytest.raises(BenchError, match="one run's folder"):
        command.main(["-o", str(tmp_path)])


def test_crops_come_back_as_precomputed_cloaks(tmp_path: Path) -> None:
    """Another tool's path: export, change by four lines, measure."""
    crops = tmp_path / "crops"
    assert command.main(["--crops", "-o", str(crops), "data.limit=1"]) == 0
    for file in crops.rglob("*.png"):
        with Image.open(file) as image:
            pixels = np.asarray(image)
        Image.fromarray((pixels // 8 * 8).astype(np.uint8)).save(file)
    words = [word for word in SMALL if not word.startswith("defense")]
    mine = ["defense=precomputed", f"defense.root={crops}", "defense.label=mine", "suite.defenses=null"]
    text = StringIO()
    assert run(settings_of([*words, *mine, *places(tmp_path)]), Console(file=text, width=200)) == 0, text.getvalue()
    (cell,) = [r for r in load_all(tmp_path / "out") if r.defense.name == "precomputed"]
    assert cell.metrics["linf"] == 7
    assert "mine 8/255" in text.getvalue()


@pytest.mark.parametrize("name", ["../ada", "/tmp/ada", "."])
def test_crops_are_written_into_the_folder_and_nowhere_else(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """People of a table, or of a source that somebody else wrote, have whatever names these give them."""
    photo = Photo("00.png", np.zeros((8, 8, 3), np.uint8), "a" * 64)
    person = Identity(name, (photo,), (photo,), ())
    data = SimpleNamespace(identities=[person], selected=[name], own={})
    monkeypatch.setattr("bench.runner.plan.load_data", lambda settings: data)
    with pytest.raises(BenchError, match="cannot be the name of a file"):
        command.main(["--crops", "-o", str(tmp_path / "crops")])
    assert not list(tmp_path.rglob("*.png"))


def test_an_evaluation_has_cells_images_a_summary_and_a_report(finished: Path) -> None:
    measured = Evaluation(finished)
    assert {cell.status for cell in measured.cells} == {"ok"}
    assert measured.images.num_rows == sum(len(cell.images) for cell in measured.cells)
    summary = measured.summary()
    rows = summary.to_pylist() if hasattr(summary, "to_pylist") else summary.to_dict("records")
    assert {row["arm"] for row in rows} >= {"clean", "noise 8/255", "aspl 8/255"}
    assert "aspl 8/255" in measured.report


def test_one_name_is_the_command_and_the_function() -> None:
    import bench

    assert callable(bench.export)
    assert callable(bench.cloak)
    with pytest.raises(BenchError, match="no finished cells"):
        bench.export("nowhere", "nowhere")
    with pytest.raises(AttributeError, match="evaluate"):
        bench.evaluat  # noqa: B018
