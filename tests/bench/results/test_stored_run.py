"""A run's finished cells, and their pictures."""

from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.results.stored_run import StoredRun
from tests.support.entries import invented, stored_run
from tests.support.records import record


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """One cell that is ok, and one that failed."""
    records = [record(cell="good", images=[]), record(cell="bad", images=[], status="failed", reason="a bug")]
    folder, store = stored_run(tmp_path, records, invented())
    monkeypatch.setenv("CLOAKBENCH_STORE", str(store))
    return folder


def test_cells_that_are_not_ok_are_left_out(run: Path) -> None:
    assert [cell.cell for cell in StoredRun.open(run).records] == ["good"]
    (file,) = [file for file in (run / "cells").iterdir() if '"good"' in file.read_text()]
    file.unlink()
    with pytest.raises(BenchError, match="no finished cells"):
        StoredRun.open(run)


def test_pictures_are_those_of_the_stage(run: Path) -> None:
    stored = StoredRun.open(run)
    (cell,) = stored.records
    cloaked, treated = (np.stack(stored.pictures(cell, stage)) for stage in ("protect", "counter"))
    assert np.array_equal(treated, 255 - cloaked)  # as `stored_run` writes them
    shutil.rmtree(stored.store.root / "counter")
    with pytest.raises(BenchError, match="no longer has the pictures") as caught:
        stored.pictures(cell, "counter")
    assert "Repeat the run's command" in caught.value.fix
