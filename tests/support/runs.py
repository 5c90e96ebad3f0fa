"""Whole runs made small, with methods that take no time."""

from __future__ import annotations

from collections.abc import Sequence
from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.config.compose import settings_of
from bench.results.record import Record, load_all
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell
from bench.runner.run import run

SMALL = [
    "defense=aspl",
    "attack=dreambooth",
    "attack.steps=2",
    "attack.batch=2",
    "defense.rounds=1",
    "defense.surrogate_steps=1",
    "defense.pgd_steps=2",
    "defense.step=9",
    "model.steps=3",
    "protocol.images_per_prompt=1",
    "data.limit=1",
    "logger=none",
    "workers=1",
]


def places(folder: Path) -> list[str]:
    """Where a run puts things."""
    return [f"out={folder / 'out'}", f"store={folder / 'store'}"]


def small_run(folder: Path, *words: str) -> tuple[int, list[Record], str]:
    """A run in this process: exit status, records and what was printed."""
    text = StringIO()
    status = run(settings_of([*SMALL, *places(folder), *words]), Console(file=text, width=200))
    return status, load_all(folder / "out"), text.getvalue()


def results(records: Sequence[Record]) -> dict[str, object]:
    """All that must not change between runs: everything but cost and caching."""
    return {r.cell: (r.status, r.metrics, r.thresholds, r.images) for r in records}


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Record]]:
    folder = tmp_path_factory.mktemp("finished")
    status, records, _ = small_run(folder)
    assert status == 0
    return folder, records


BROKEN = """
from dataclasses import dataclass
from defenses import DEFENSES, Defense

@DEFENSES.register("broken")
@dataclass(frozen=True)
class Broken(Defense):
    "Does not keep its promises."
    how: str = "over"

    def protect(self, photos, context):
        if self.how == "over":
            return (photos + (context.budget.radius + 1 / 255)).clamp(0, 1)
        if self.how == "holes":
            return photos * float("nan")
        raise RuntimeError("a bug")
"""


def flaky(monkeypatch: pytest.MonkeyPatch, failures: dict[str, int], status: str = "failed") -> list[str]:
    """Cells of defenses fail so many times, and are recorded at once otherwise. Returns what was tried."""
    tried: list[str] = []

    def attempt(self: Pipeline, cell: Cell, progress: object) -> Record:
        tried.append(cell.defense.name)
        bad = tried.count(cell.defense.name) <= failures.get(cell.defense.name, 0)
        return self._record(
            cell, status if bad else "ok", "broken" if bad else "", metrics={"ilr": 0.5, "likeness": 0.5}
        )

    monkeypatch.setattr(Pipeline, "run", attempt)
    monkeypatch.setattr("bench.report.contact_sheet.draw", lambda records, store: b"")
    return tried
