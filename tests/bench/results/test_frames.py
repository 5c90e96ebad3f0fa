"""Results as tables: every cell once, and what only some have is null elsewhere."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.results.frames import load_images, load_results
from bench.results.record import save
from tests.support.boards import record


def test_every_cell_of_every_run_is_a_row(tmp_path: Path) -> None:
    save(record("none", "ann", 1.0), tmp_path / "one" / "cells")
    save(record("mist", "ann", 0.25), tmp_path / "one" / "cells")
    save(record("mist", "bob", None), tmp_path / "two" / "cells")
    table = load_results(tmp_path / "one", str(tmp_path / "two"))
    rows = {(row["arm"], row["identity"]): row for row in table.to_pylist()}
    assert set(rows) == {("clean", "ann"), ("mist 8/255", "ann"), ("mist 8/255", "bob")}
    cloak, failed = rows["mist 8/255", "ann"], rows["mist 8/255", "bob"]
    assert (cloak["ilr"], cloak["prevented"], cloak["attack"], cloak["status"]) == (0.25, 0.75, "dreambooth", "ok")
    assert cloak["protect/seconds"] == 10
    assert (failed["ilr"], failed["protect/seconds"], failed["status"]) == (None, None, "fit_failed")
    assert {row["run"] for row in rows.values()} == {str(tmp_path / "one"), str(tmp_path / "two")}
    assert list(table.to_pandas().groupby("arm")["ilr"].mean()) == [1.0, 0.25]


def test_a_folder_without_results_is_named(tmp_path: Path) -> None:
    for load in (load_results, load_images):
        with pytest.raises(BenchError, match="empty"):
            load(tmp_path / "empty")


def test_no_package_for_data_frames_is_needed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(record("none", "ann", 1.0), tmp_path / "cells")
    for package in ("pandas", "polars"):
        monkeypatch.setitem(sys.modules, package, None)
    assert [row["identity"] for row in load_results(tmp_path).to_pylist()] == ["ann"]
