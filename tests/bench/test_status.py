"""The manifest of a run, and what status makes of it and of the records."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from bench import status
from bench.core.errors import BenchError
from bench.results import manifest
from bench.results.labels import cell_label
from bench.results.manifest import FILE, Planned, RunManifest
from bench.results.progress import Progress, progress
from bench.results.record import Record, load_all, save
from bench.runner.sweep_status import gathered, noted
from bench.store.lease import held, lease
from bench.store.prune import references
from tests.support.contexts import ROOT
from tests.support.records import FULL, record
from tests.support.runs import BROKEN, SMALL

SETTINGS: dict[str, Any] = {"data": {"name": "folder", "settings": {"identities": []}}}
PEOPLE = ["ann", "bob", "cid", "dan"]
START = 1_700_000_000.0


def cell(number: int) -> str:
    return f"{number:012d}".ljust(64, "0")  # file names have the first 12


def one(number: int, made: float, out: Path, **changes: Any) -> Record:
    """A record of cell `number` that was written `made` seconds after the start."""
    found = record(cell=cell(number), identity=PEOPLE[number % 4], **changes)
    os.utime(save(found, out / "cells"), (START + made, START + made))
    return found


def begin(out: Path, count: int, words: tuple[str, ...] | None = ("defense=mist",)) -> None:
    """A manifest of cells 0, 1, ... that were begun at `START`."""
    plan = [Planned(cell=cell(i), identity=PEOPLE[i % 4], label=f"label {i}", keys={"fit": "k"}) for i in range(count)]
    manifest.save(out, words, SETTINGS, out / "store", plan)
    content = json.loads((out / FILE).read_text())
    (out / FILE).write_text(json.dumps(content | {"started": START}))


def failed(reason: str = "no memory") -> dict[str, Any]:
    return {"status": "failed", "reason": reason, "metrics": {}, "images": [], "stages": {}}


def cached() -> dict[str, Any]:
    return {"stages": {"fit": FULL["stages"]["fit"] | {"cached": True}}}


def shown(out: Path, found: Progress) -> str:
    return "\n".join(str(line) for line in status.view(out, found).renderables)


# --- the manifest -----------------------------------------------------------------------------------------------------


def test_a_manifest_is_read_back(tmp_path: Path) -> None:
    begin(tmp_path, 3)
    found = manifest.load(tmp_path)
    assert found is not None
    assert (found.overrides, found.settings, found.started) == (("defense=mist",), SETTINGS, START)
    assert found.store == str((tmp_path / "store").resolve())
    assert [each.label for each in found.cells] == ["label 0", "label 1", "label 2"]
    assert found.cells[0].outputs == ["fit/k"]
    assert references(tmp_path) == {"fit/k"}
    assert [f.name for f in tmp_path.iterdir()] == [FILE]


def test_no_manifest_is_none_and_a_broken_one_a_mistake(tmp_path: Path) -> None:
    assert manifest.load(tmp_path) is None
    (tmp_path / FILE).write_text("{}")
    with pytest.raises(BenchError, match="is no manifest"):
        manifest.load(tmp_path)


def made(words: tuple[str, ...] | None, settings: dict[str, Any] = SETTINGS) -> RunManifest:
    return RunManifest(overrides=words, settings=settings, store="", started=0.0, cells=())


def test_a_command_does_one_person_again_in_a_run_of_its_own() -> None:
    words = ("defense=mist", "out=runs/x", "data.identities=[ann,bob]", "store=/s p", "data.limit=2")
    assert made(words).command("bob") == (
        "python -m bench defense=mist 'store=/s p' data.limit=2 'data.identities=['\"'\"'bob'\"'\"']'"
    )
    assert made(None).command("bob") is None
    assert made((), {"data": {"name": "mine", "settings": {}}}).command("bob") == "python -m bench"


@pytest.mark.parametrize("identity", ["001", "ann lee", "o'hara", "back\\slash", "Zoë", "a,b", "[x]", "true"])
def test_any_name_comes_through_the_shell_and_hydra(identity: str) -> None:
    from bench.config.parsing import parse
    from tests.support.settings import composed

    words = shlex.split(made(("data=folder", "data.root=x")).command(identity) or "")
    assert words[:3] == ["python", "-m", "bench"]
    assert parse(composed(*words[3:])).data.settings["identities"] == [identity]


# --- a sweep ---


def test_a_sweep_is_followed_from_job_to_job(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOAKBENCH_SWEEPS", str(tmp_path / "sweeps"))
    for name in ("first", "second"):
        begin(tmp_path / name, 2)
    with gathered(tmp_path / "sweeps", 2):
        for name in ("first", "second"):
            with noted([f"out={name}"]) as job:
                job.begin(tmp_path / name, [])
                out, found, sweep = status.look(None)
                assert out == tmp_path / name
                assert sweep is not None
                said = [str(line) for line in status.view(out, found, sweep).renderables]
                assert said[0] == f"job {['first', 'second'].index(name) + 1} of 2: out={name}"
    assert status.look(tmp_path / "first")[2] is None


# --- how far it is --------------------------------------------------------------------------------------------------


def test_done_failed_and_missing(tmp_path: Path) -> None:
    begin(tmp_path, 5)
    one(0, 10, tmp_path)
    one(1, 20, tmp_path, **failed())
    one(9, 5, tmp_path)  # of an earlier command
    found = progress(tmp_path, START + 100)
    assert (found.planned, found.statuses) == (5, {"ok": 1, "failed": 1})
    assert found.missing == ("label 2", "label 3", "label 4")
    assert (found.others, found.running, found.left) == (1, False, None)
    text = shown(tmp_path, found)
    assert "not running" in text
    assert "2 of 5 cells done: 1 failed, 1 ok" in text
    assert "missing: label 2; label 3; label 4" in text
    assert "1 more records are of earlier commands" in text


def test_rate_and_time_left_of_a_running_run(tmp_path: Path) -> None:
    """Cells from the store take no time, and those of before the start say nothing about now."""
    begin(tmp_path, 8)
    one(0, -50, tmp_path)
    one(1, 1, tmp_path, **cached())
    one(2, 100, tmp_path)
    one(3, 200, tmp_path)
    with lease(tmp_path / "store", tmp_path, []):
        found = progress(tmp_path, START + 400)
    assert found.running
    assert found.rate == pytest.approx(2 / 400)
    assert found.left == pytest.approx(4 * 200)
    assert "18 cells an hour, about 0:13:20 left" in shown(tmp_path, found)


def test_rate_of_a_run_that_has_stopped_is_until_its_last_cell(tmp_path: Path) -> None:
    begin(tmp_path, 8)
    one(2, 100, tmp_path)
    one(3, 200, tmp_path)
    found = progress(tmp_path, START + 1e6)
    assert found.rate == pytest.approx(2 / 200)
    assert found.left is None
    assert "36 cells an hour" in shown(tmp_path, found)
    assert "left" not in shown(tmp_path, found)


def test_nothing_computed_has_no_rate(tmp_path: Path) -> None:
    begin(tmp_path, 2)
    assert progress(tmp_path, START + 5).rate is None
    one(0, 1, tmp_path, **cached())
    one(1, 2, tmp_path, **failed())
    assert progress(tmp_path, START + 5).rate is None
    assert "an hour" not in shown(tmp_path, progress(tmp_path, START + 5))


def test_a_clock_that_is_set_back_costs_the_rate_alone(tmp_path: Path) -> None:
    begin(tmp_path, 3)
    one(0, -3600, tmp_path)
    one(1, 5, tmp_path)
    with lease(tmp_path / "store", tmp_path, []):
        found = progress(tmp_path, START - 3000)
    assert found.rate is None
    assert found.statuses == {"ok": 2}
    assert len(found.missing) == 1


def test_another_run_of_the_store_is_not_this_one(tmp_path: Path) -> None:
    begin(tmp_path, 2)
    with lease(tmp_path / "store", tmp_path / "other", []):
        assert not progress(tmp_path, START).running


def test_failures_of_one_person_and_reason_are_told_once_with_the_command(tmp_path: Path) -> None:
    begin(tmp_path, 8)
    one(1, 1, tmp_path, **failed())
    one(5, 1, tmp_path, **failed())
    one(2, 1, tmp_path, **failed())
    one(6, 1, tmp_path, **failed("no [face]") | {"status": "fit_failed"})
    one(0, 1, tmp_path)
    found = {failure.cells: failure for failure in progress(tmp_path, START).failures}
    assert set(found) == {("label 1", "label 5"), ("label 2",), ("label 6",)}
    text = shown(tmp_path, progress(tmp_path, START))
    assert "failed: label 1; label 5" in text
    assert "fit_failed: label 6" in text
    assert "no [face]" in text
    command = found["label 1", "label 5"].command
    assert command is not None
    assert "bob" in command
    assert f"again: {command}" in text


def test_long_lists_are_cut(tmp_path: Path) -> None:
    begin(tmp_path, 30)
    assert "label 4 and 25 more" in shown(tmp_path, progress(tmp_path, START))


def test_a_run_without_a_manifest_shows_its_records(tmp_path: Path) -> None:
    bad = one(1, 20, tmp_path, **failed())
    found = progress(tmp_path, START)
    assert (found.planned, found.statuses, found.missing, found.rate) == (None, {"failed": 1}, (), None)
    assert found.failures[0].cells == (cell_label(bad),)
    assert found.failures[0].command is None
    assert "what is missing is not known" in shown(tmp_path, found)


def test_a_folder_without_a_run_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="holds no run"):
        progress(tmp_path, START)


# --- the command ----------------------------------------------------------------------------------------------------


def test_the_exit_status_is_0_only_if_every_cell_is_ok(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    begin(tmp_path, 2)
    one(0, 1, tmp_path)
    assert status.main([str(tmp_path)]) == 1  # one is missing
    one(1, 1, tmp_path)
    assert status.main([str(tmp_path)]) == 0
    one(1, 1, tmp_path, **failed())
    assert status.main([str(tmp_path)]) == 1
    assert "2 of 2 cells done" in capsys.readouterr().out


def test_watching_ends_with_the_last_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    begin(tmp_path, 2)
    one(0, 1, tmp_path)
    looks = []

    def sleep(seconds: float) -> None:
        looks.append(seconds)
        if len(looks) == 3:
            one(1, 2, tmp_path)

    monkeypatch.setattr(time, "sleep", sleep)
    assert status.main([str(tmp_path), "--watch"]) == 0
    assert looks == [status.EVERY] * 3
    assert "2 of 2 cells done" in capsys.readouterr().out


def test_watching_ends_with_an_interrupt(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    begin(tmp_path, 2)

    def sleep(seconds: float) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(time, "sleep", sleep)
    assert status.main([str(tmp_path), "--watch"]) == 1


def test_the_latest_run_is_the_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for age, name in ((2, "old"), (1, "new"), (3, "older")):
        begin(tmp_path / "runs" / name, 1)
        os.utime(tmp_path / "runs" / name / FILE, (START - age, START - age))
    assert status.latest(tmp_path / "runs").name == "new"
    monkeypatch.chdir(tmp_path)
    assert status.main([]) == 1
    with pytest.raises(BenchError, match="There are no runs in"):
        status.latest(tmp_path / "nowhere")


# --- whole runs -----------------------------------------------------------------------------------------------------


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    command = [sys.executable, "-m", *words]
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def test_what_failed_is_done_again_by_its_command(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text(BROKEN)
    words = [word for word in SMALL if not word.startswith("defense.")]
    words += ["out=runs/one", "plugins=[broken.py]", "defense=broken", "defense.how=bug", "controls=[]"]
    assert call(tmp_path, "bench", *words).returncode == 1
    plan = manifest.load(tmp_path / "runs" / "one")
    assert plan is not None
    records = {r.cell: r for r in load_all(tmp_path / "runs" / "one")}
    assert {each.cell: each.label for each in plan.cells} == {r.cell: cell_label(r) for r in records.values()}
    assert {each.cell for each in plan.cells} == set(records)
    for each in plan.cells:
        assert all(each.keys[stage] == facts.key for stage, facts in records[each.cell].stages.items())
    assert list(plan.overrides or ()) == words
    assert held(Path(plan.store)) == []
    told = call(tmp_path, "bench.status")
    assert told.returncode == 1
    assert "2 of 2 cells done: 1 failed, 1 ok" in told.stdout
    (line,) = [line for line in told.stdout.splitlines() if "again:" in line]
    again = shlex.split(line.partition("again:")[2])
    assert again[:3] == ["python", "-m", "bench"]
    done = call(tmp_path, *again[2:])
    assert done.returncode == 1
    assert "a bug" in done.stdout
    assert len(list((tmp_path / "runs").iterdir())) == 2


def test_a_run_holds_its_lease_and_has_its_manifest_before_the_first_cell(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from bench.runner.pipeline import Pipeline
    from tests.support.runs import small_run

    seen: list[Progress] = []
    leased: list[set[str]] = []

    def fails(self: Pipeline, cell: Any, show: Any) -> Record:
        seen.append(progress(tmp_path / "out", time.time()))
        leased.append({key for each in held(self.store.root) for key in each.keys})
        return self._record(cell, "failed", "no")

    monkeypatch.setattr(Pipeline, "run", fails)
    small_run(tmp_path)
    assert [(each.running, each.planned, len(each.missing)) for each in seen] == [
        (True, 4, missing) for missing in (4, 3, 2, 1)
    ]
    assert leased[0] == references(tmp_path / "out")
    assert held(tmp_path / "store") == []
    assert not progress(tmp_path / "out", time.time()).running


def test_status_can_be_asked_while_records_are_written(tmp_path: Path) -> None:
    begin(tmp_path, 40)
    writer = threading.Thread(target=lambda: [one(i, i, tmp_path) for i in range(40)])
    writer.start()
    while writer.is_alive():
        progress(tmp_path, START)
    writer.join()
    assert progress(tmp_path, START).statuses == {"ok": 40}
