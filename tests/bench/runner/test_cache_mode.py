"""What a run does about what is there already."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results.record import Record, load_all, save
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell
from bench.store import Store
from tests.support.runs import finished, flaky, results, small_run

__all__ = ["finished"]  # a fixture


def made(folder: Path) -> dict[str, int]:
    """When each output was made, by its place in the store."""
    root = folder / "store"
    return {str(f.relative_to(root)): f.stat().st_mtime_ns for f in root.rglob("meta.json")}


def test_force_makes_every_output_of_its_cells_again_and_no_other(tmp_path: Path) -> None:
    small_run(tmp_path, "suite.defenses=[none]")
    Store(tmp_path / "store").compute("protect", "another", lambda folder: None)
    before, first = made(tmp_path), results(load_all(tmp_path / "out"))
    status, records, _ = small_run(tmp_path, "suite.defenses=[none]", "mode=force")
    after = made(tmp_path)
    assert status == 0
    assert results(records) == first
    keys = [(name, stage.key, stage.cached) for r in records for name, stage in r.stages.items()]
    fresh = [(name, key) for name, key, cached in keys if not cached]
    assert sorted(fresh) == sorted({(name, key) for name, key, _ in keys})  # each once; cells share some
    renewed = {Path(place).parts[0] for place in before if after[place] != before[place]}
    assert renewed >= {"protect", "counter", "fit", "generate", "measure"}
    assert after["protect/an/another/meta.json"] == before["protect/an/another/meta.json"]


def test_retry_leaves_alone_what_is_settled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tried = flaky(monkeypatch, {"noise": 1})
    assert small_run(tmp_path)[0] == 1
    assert tried == ["none", "none", "noise", "aspl"]
    tried.clear()
    for record in load_all(tmp_path / "out"):  # as an earlier version wrote them
        save(record.model_copy(update={"model": None, "weights": None}), tmp_path / "out" / "cells")

    def again(self: Pipeline, cell: Cell, progress: object) -> Record:
        tried.append(cell.label)
        return self.failed(cell, "still")

    monkeypatch.setattr(Pipeline, "run", again)
    status, records, text = small_run(tmp_path, "mode=retry")
    assert len(tried) == 1
    assert "noise" in tried[0]
    assert status == 1
    assert [r.status for r in records].count("ok") == 3
    assert text.count("aspl 8/255") >= 1  # the table has all arms
    assert all(r.model and r.weights for r in load_all(tmp_path / "out")), "one cell, one hash: what it was is known"


def test_read_only_computes_nothing(finished: tuple[Path, list[object]], monkeypatch: pytest.MonkeyPatch) -> None:
    folder, records = finished
    before = made(folder)
    for stage in ("protect.protect", "countermeasure.counter", "fit.fit", "generate.generate"):
        monkeypatch.setattr(f"bench.runner.stages.{stage}", None)
    monkeypatch.setattr("bench.evaluation.detections.measure", None)
    status, again, _ = small_run(folder, "mode=read_only", f"out={folder / 'second'}")
    assert status == 0
    assert results(load_all(folder / "second")) == results(records)  # type: ignore[arg-type]
    status, _, text = small_run(folder, "mode=read_only", "budget=7", f"out={folder / 'third'}")
    third = {r.defense.name: r for r in load_all(folder / "third") if r.attack.name != "none"}
    assert status == 1
    assert {name: r.status for name, r in third.items()} == {"none": "ok", "noise": "skipped", "aspl": "skipped"}
    assert "mode=read_only" in third["noise"].reason
    assert "mode=read_only" in text
    assert made(folder) == before
    assert again


def test_read_only_keeps_a_record_whose_outputs_have_been_pruned(tmp_path: Path) -> None:
    small_run(tmp_path, "suite.defenses=[none]")
    store = Store(tmp_path / "store")
    record = next(r for r in load_all(tmp_path / "out") if r.attack.name != "none")
    assert store.remove("generate", record.stages["generate"].key)
    status, records, _ = small_run(tmp_path, "suite.defenses=[none]", "mode=read_only")
    assert status == 0
    assert record in records
    assert len(records) == 2


def test_removing_what_is_not_there_or_being_made(tmp_path: Path) -> None:
    store = Store(tmp_path)
    assert store.remove("fit", "nothing")
    store.compute("fit", "some", lambda folder: None)
    with store.lock("fit", "some"):
        other = Store(tmp_path)
        assert not other.remove("fit", "some")
    assert store.find("fit", "some")
    assert store.remove("fit", "some")
    assert store.find("fit", "some") is None
    assert store.cost("fit", "some") is None
