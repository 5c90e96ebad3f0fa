"""Everything that a run is given is checked before any work, and all that is wrong is told at once."""

from __future__ import annotations

import os
import shutil
from collections.abc import Sequence
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from rich.console import Console

from bench.config.compose import settings_of
from bench.core.errors import BenchError
from bench.core.images import png_bytes
from bench.data.synthetic import ROOT as SYNTHETIC
from bench.models.diffusion.model_cache import Pool
from bench.report.analysis import RunAnalysis
from bench.report.sanity_checks import findings
from bench.results.record import Record
from bench.results.record import _name as record_name
from bench.runner.inputs import checked, warnings
from bench.runner.pipeline import Pipeline
from bench.runner.places import nearest, refuse_full, refuse_unwritable
from bench.runner.plan import Cell
from bench.runner.run import logger_of, run
from tests.support.runs import SMALL, places

PEOPLE = sorted(folder.name for folder in SYNTHETIC.iterdir() if folder.is_dir())


@pytest.fixture
def people(tmp_path: Path) -> Path:
    """Three invented people, as anybody's folder of photos."""
    for name in PEOPLE[:3]:
        shutil.copytree(SYNTHETIC / name, tmp_path / "people" / name)
    return tmp_path / "people"


def words(folder: Path, *more: str) -> list[str]:
    """A run of these people that asks for the clean arm alone."""
    own = ["data=folder", f"data.root={folder / 'people'}", "data.crop=centre", "data.limit=0", "controls=[none]"]
    return [*(word for word in SMALL if not word.startswith("d")), *own, *places(folder), "defense=none", *more]


def prepared(folder: Path, *more: str) -> tuple[list[Cell], Pipeline]:
    settings = settings_of(words(folder, *more))
    out = Path(settings.out or "")
    return checked(settings, out, logger_of(settings, out, Console(file=StringIO())), Pool("cpu"))


def refused(folder: Path, *more: str) -> BenchError:
    with pytest.raises(BenchError) as caught:
        prepared(folder, *more)
    assert not (folder / "out").exists()
    return caught.value


def sets(root: Path, person: int, part: str) -> list[Path]:
    return sorted((root / PEOPLE[person] / f"set_{part}").iterdir())


# --- all at once ----------------------------------------------------------------------------------------------------


def test_everything_that_is_wrong_is_told_at_once(people: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    shutil.copy(sets(people, 0, "B")[0], people / PEOPLE[1] / "set_A" / "zz.png")
    message = refused(tmp_path, f"store={tmp_path / 'file'}", "device=cuda:77", "data.root=/nowhere").message
    assert all(part in message for part in ("store=", "device=cuda:77", "data.root=/nowhere"))
    for person in (0, 2):
        shutil.copy(sets(people, person, "B")[1], people / PEOPLE[person] / "set_C" / "zz.png")
    assert len(refused(tmp_path).message.splitlines()) == 3


def test_a_dry_run_checks_the_same(people: Path, tmp_path: Path) -> None:
    shutil.copy(sets(people, 0, "B")[0], people / PEOPLE[1] / "set_A" / "zz.png")
    assert "under two names" in refused(tmp_path, "dry_run=true").message


def test_weights_that_are_missing_are_named_together(people: Path, tmp_path: Path) -> None:
    own = ["attack=ip_adapter", "attack.weights=/no/weights", "defense=precomputed", "defense.label=x"]
    attack = [word for word in words(tmp_path) if not word.startswith("attack")]
    settings = settings_of([*attack, *own, "defense.root=/no/cloaks"])
    with pytest.raises(BenchError) as caught:
        checked(settings, tmp_path / "out", logger_of(settings, tmp_path / "out", Console()), Pool("cpu"))
    assert "/no/weights" in caught.value.message
    assert "/no/cloaks" in caught.value.message


# --- cloaks made elsewhere ------------------------------------------------------------------------------------------


def test_precomputed_cloaks_of_everybody_are_looked_at_first(people: Path, tmp_path: Path) -> None:
    for index, name in enumerate(PEOPLE[:2]):
        (tmp_path / "cloaks" / name).mkdir(parents=True)
        for file in sets(people, index, "B"):
            side = 128 if index else 64
            Image.open(file).convert("RGB").resize((side, side)).save(tmp_path / "cloaks" / name / file.name)
    own = ["defense=precomputed", "defense.label=theirs", f"defense.root={tmp_path / 'cloaks'}"]
    message = refused(tmp_path, *own).message
    assert message.count("is 64 x 64 pixels") == len(sets(people, 0, "B"))
    assert PEOPLE[2] in message
    assert PEOPLE[1] not in message


# --- photos ---------------------------------------------------------------------------------------------------------


def said(folder: Path, *more: str) -> list[str]:
    return warnings(*prepared(folder, *more))


def test_right_photos_give_no_warning(people: Path, tmp_path: Path) -> None:
    assert said(tmp_path) == []


def test_who_cannot_be_measured_is_told_and_how_many_remain(people: Path, tmp_path: Path) -> None:
    meadow = np.linspace(0, 255, 128 * 128 * 3).reshape(128, 128, 3).astype(np.uint8)
    sets(people, 1, "B")[0].write_bytes(png_bytes(meadow))
    lines = said(tmp_path)
    assert any(line.startswith(f"{PEOPLE[1]} cannot be measured: no face found in {PEOPLE[1]}/") for line in lines)
    assert "2 of 3 people remain." in lines
    for index in (0, 2):
        sets(people, index, "B")[0].write_bytes(png_bytes(np.roll(meadow, index + 1, axis=0)))
    with pytest.raises(BenchError, match="None of 3 people can be measured"):
        said(tmp_path)


def test_whose_face_the_attack_does_not_find_is_told(
    people: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    bright = float(np.mean([np.asarray(Image.open(file)).mean() for file in sets(people, 2, "B")]))
    monkeypatch.setattr("bench.runner.inputs.analyser", lambda pack: Blind(sets(people, 2, "B"), bright))
    attack = [word for word in words(tmp_path) if not word.startswith("attack")]
    settings = settings_of([*attack, "attack=instantid"])
    planned, pipeline = checked(settings, tmp_path / "out", logger_of(settings, tmp_path, Console()), Pool("cpu"))
    (line,) = warnings(planned, pipeline)
    assert line.startswith(f"attack=instantid: its face detector finds no face in any photo of {PEOPLE[2]};")
    assert "2 of 3 people remain" in line


class Blind:
    """Finds a face on all photos but these."""

    def __init__(self, files: Sequence[Path], bright: float) -> None:
        self._blind = [np.asarray(Image.open(file).convert("RGB")) for file in files]

    def faces(self, picture: Any) -> list[str]:
        return [] if any(np.array_equal(picture, blind) for blind in self._blind) else ["a face"]


def test_another_person_s_photo_is_named_before_the_run_in_its_records_and_in_its_report(
    people: Path, tmp_path: Path
) -> None:
    wrong, right = sets(people, 0, "C")[1], sets(people, 1, "C")[1]
    held = wrong.read_bytes()
    wrong.write_bytes(right.read_bytes())
    right.write_bytes(held)
    text = StringIO()
    status = run(settings_of(words(tmp_path, "suite.attacks=[none]", "data.limit=1")), Console(file=text, width=500))
    assert status == 0
    place = wrong.relative_to(people).as_posix()
    before, _, after = text.getvalue().partition(f"{PEOPLE[0]}, base  ")
    report = (tmp_path / "out" / "report.md").read_text()
    for told, called in (
        (before, place),
        (after, f"{PEOPLE[0]}/C2"),
        (report, f"{PEOPLE[0]}/C2"),
    ):  # file names stay here
        assert f"{called} may not show {PEOPLE[0]}" in told
        assert f"It looks like {PEOPLE[1]}" in told
    (file,) = (tmp_path / "out" / "cells").glob("*.json")
    record = Record.model_validate_json(file.read_text())
    assert [doubt.split()[0] for doubt in record.provenance["doubts"]] == [f"{PEOPLE[0]}/C2", f"{PEOPLE[1]}/C2"]
    many = record.model_copy(update={"provenance": {"doubts": [f"{i}.jpg is odd." for i in range(50)]}})
    findings_told = map(str, findings(RunAnalysis([many])))
    about = [line for line in findings_told if "doubted" in line or "odd" in line]
    assert len(about) == 21
    assert "30 more" in about[-1]


def test_invented_people_are_not_looked_at_for_that(tmp_path: Path) -> None:
    places = [f"out={tmp_path / 'out'}", f"store={tmp_path / 'store'}"]
    settings = settings_of([*SMALL, *places])
    planned, pipeline = checked(settings, tmp_path / "out", logger_of(settings, tmp_path, Console()), Pool("cpu"))
    assert warnings(planned, pipeline) == []
    assert not (tmp_path / "store" / "faces").exists()


@pytest.mark.parametrize("name", ["celebahq_mini", "vggface2_mini"])
def test_real_people_are_not_doubted(name: str, shared_data: Any, tmp_path: Path) -> None:
    """At the size of embedded models, which is that of the hardest photos."""
    settings = settings_of([*words(tmp_path), f"data.root={shared_data(name)}", "data.crop=auto"])
    planned, pipeline = checked(settings, tmp_path / "out", logger_of(settings, tmp_path, Console()), Pool("cpu"))
    assert warnings(planned, pipeline) == []


# --- what is not installed ------------------------------------------------------------------------------------------


def test_what_will_not_be_measured_is_told(people: Path, tmp_path: Path) -> None:
    planned, pipeline = prepared(tmp_path, "metric.recognisers=[nobody]", "metric.quality=[blur,clip_score]")
    pipeline.scorer._settings = pipeline.scorer._settings.model_copy(update={"clip": "/no/clip"})
    lines = warnings(planned, pipeline)
    assert any("nobody" in line and "It will be missing." in line for line in lines)
    assert any("/no/clip" in line for line in lines)


# --- places ---------------------------------------------------------------------------------------------------------


def test_a_place_below_a_file_is_refused_and_a_new_one_is_not_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    for bad in (tmp_path / "file", tmp_path / "file" / "out"):
        with pytest.raises(BenchError, match=f"^out={bad}: .* is a file") as caught:
            refuse_unwritable(bad, "out")
        assert "out=" in caught.value.fix
    refuse_unwritable(tmp_path / "new" / "out", "out")
    assert [path.name for path in tmp_path.iterdir()] == ["file"]


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_place_that_others_own_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o555)
    with pytest.raises(BenchError, match="nothing can be written"):
        refuse_unwritable(tmp_path / "out", "out")
    tmp_path.chmod(0o755)


def test_what_the_system_refuses_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(**_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("tempfile.TemporaryFile", refuse)
    with pytest.raises(BenchError, match=r"store=.*Permission denied"):
        refuse_unwritable(tmp_path, "store")


def test_a_disk_that_is_too_full_is_refused(tmp_path: Path) -> None:
    free = shutil.disk_usage(tmp_path).free
    refuse_full(tmp_path / "store", free // 2, "store")
    with pytest.raises(BenchError, match="are free"):
        refuse_full(tmp_path / "store", 2 * free, "store")


def test_the_nearest_folder_that_is_there(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert nearest(tmp_path / "a" / "b") == tmp_path
    monkeypatch.chdir(tmp_path)
    assert nearest(Path("a")) == tmp_path


def test_a_record_of_a_long_name_has_a_name_that_file_systems_take(people: Path, tmp_path: Path) -> None:
    planned, pipeline = prepared(tmp_path)
    record = pipeline.failed(planned[0], "no reason")
    long = [record.model_copy(update={"identity": "é" * 120, "cell": cell * 32}) for cell in ("ab", "cd")]
    names = [record_name(each, each.cell) for each in long]
    assert len(set(names)) == 2
    assert all(len(name.encode()) < 215 for name in names)


@pytest.mark.parametrize("device", ["cuda:77", "mps", "xpu"])
def test_a_device_that_is_not_there_is_an_error(device: str) -> None:
    if device != "cuda:77" and getattr(torch, device).is_available():
        pytest.skip("it is there")
    with pytest.raises(BenchError, match=f"device={device}, but PyTorch sees"):
        _ = Pool(device).device
