"""What of a run that is not finished can be packed: the cloaks that already have their controls beside them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from bench.results import manifest
from bench.results.record import Record
from bench.stats.rule import CONTROLS
from leaderboard.review.entry_checks import Setting, setting_of


def publishable(run: Path, records: Sequence[Record]) -> tuple[list[Record], str]:
    """The records to pack, and what to say of the others; all of them, and nothing, if the run is finished.

    A run makes cloaks before their controls, so that no worker has to wait in the end.

    Raises:
        BenchError: the run's manifest is not to be understood.
    """
    plan, done = manifest.load(run), {record.cell for record in records}
    to_come = sum(cell.cell not in done for cell in plan.cells) if plan else 0
    if not to_come:
        return list(records), ""
    arms: dict[Setting, set[tuple[str, float]]] = defaultdict(set)
    for record in records:
        if record.status == "ok":
            arms[setting_of(record)].add((record.defense.name, record.defense.budget))
    ready = [record for record in records if _has_controls(record, arms[setting_of(record)])]
    waiting = len(records) - len(ready)
    left_out = f" {waiting} cells are left out, whose controls are among these." if waiting else ""
    return ready, f"The run is not finished: {to_come} cells of its plan are still to come.{left_out}"


def _has_controls(record: Record, beside: set[tuple[str, float]]) -> bool:
    alone = record.attack.name == "none" or record.defense.name in CONTROLS
    return alone or {("none", 0.0), ("noise", record.defense.budget)} <= beside
