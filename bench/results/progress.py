"""How far a run has come, from its manifest and its records."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import BenchError
from bench.results import manifest
from bench.results.labels import cell_label
from bench.results.manifest import RunManifest
from bench.results.record import Record, load
from bench.store.lease import held


@dataclass(frozen=True)
class Failure:
    """Cells of one person that went wrong in one way."""

    cells: tuple[str, ...]
    status: str
    reason: str
    command: str | None


@dataclass(frozen=True)
class Progress:
    """The state of a run.

    Attributes:
        running: whether a process is at work on it.
        planned: how many cells it has; None without a manifest.
        statuses: how many cells are done, by status.
        missing: labels of the cells that are not.
        rate: cells per second since the run began, those taken whole from the store left out; None if there is none.
        failures: what went wrong.
        others: records of cells that the manifest does not name, of earlier commands with the same folder.
    """

    running: bool
    planned: int | None
    statuses: dict[str, int]
    missing: tuple[str, ...]
    rate: float | None
    failures: tuple[Failure, ...]
    others: int

    @property
    def left(self) -> float | None:
        """Seconds until the end; None if that is not to be told."""
        return len(self.missing) / self.rate if self.rate and self.running else None


def progress(out: Path, now: float) -> Progress:
    """The state of a run at a time in seconds of the epoch.

    Raises:
        BenchError: the folder holds no run.
    """
    plan = manifest.load(out)
    found = [(load(path), path.stat().st_mtime) for path in sorted((out / "cells").glob("[!.]*.json"))]
    records = {record.cell: record for record, _ in found}
    if plan is None and not records:
        raise BenchError(f"{out} holds no run.", "Give a run's folder, the one that holds cells/ and plan.json.")
    labels = (
        {cell.cell: cell.label for cell in plan.cells} if plan else {r.cell: cell_label(r) for r in records.values()}
    )
    done = [record for cell, record in records.items() if cell in labels]
    running = plan is not None and any(lease.out == str(out.resolve()) for lease in held(Path(plan.store)))
    return Progress(
        running=running,
        planned=len(plan.cells) if plan else None,
        statuses=dict(Counter(record.status for record in done)),
        missing=tuple(label for cell, label in labels.items() if cell not in records),
        rate=_rate(found, plan.started, now if running else None) if plan else None,
        failures=_failures(done, labels, plan),
        others=len(records) - len(done),
    )


def _rate(found: Sequence[tuple[Record, float]], started: float, now: float | None) -> float | None:
    """Cells per second of those that took work, until now, or until the last of a run that has ended."""
    times = [
        time for record, time in found if time >= started and not all(stage.cached for stage in record.stages.values())
    ]
    span = (now or max(times, default=started)) - started
    return len(times) / span if times and span > 0 else None


def _failures(done: Sequence[Record], labels: Mapping[str, str], plan: RunManifest | None) -> tuple[Failure, ...]:
    groups: dict[tuple[str, str, str], list[str]] = {}
    for record in done:
        if record.status != "ok":
            groups.setdefault((record.identity, record.status, record.reason), []).append(labels[record.cell])
    return tuple(
        Failure(tuple(cells), status, reason, plan.command(identity) if plan else None)
        for (identity, status, reason), cells in groups.items()
    )
