"""A run's finished cells, and their pictures, which lie in a store."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Self

from bench.core import numbered
from bench.core.errors import BenchError
from bench.core.types import Pixels
from bench.results import manifest, record
from bench.results.record import Record
from bench.store import Store, default_root


@dataclass(frozen=True)
class StoredRun:
    """The cells of a run that are ok, and the store that the run used."""

    records: list[Record]
    store: Store

    @classmethod
    def open(cls, run: Path) -> Self:
        """The run of a folder.

        Raises:
            BenchError: it has no such cells.
        """
        records = [r for r in record.load_all(run) if r.status == "ok"] if run.is_dir() else []
        if not records:
            raise BenchError(
                f"{run}: there are no finished cells in {run / 'cells'}.", "Name the folder of a run: runs/<run>."
            )
        plan = manifest.load(run)
        return cls(records, Store(Path(plan.store) if plan else default_root()))

    def pictures(self, cell: Record, stage: str) -> list[Pixels]:
        """What a stage of a cell left.

        Raises:
            BenchError: the store no longer has it.
        """
        entry = self.store.find(stage, cell.stages[stage].key)
        if entry is None:
            what = "photos" if stage == "protect" else "pictures"
            raise BenchError(
                f"{self.store.root} no longer has the {what} of {cell.identity} under {cell.defense.name} ({stage}).",
                "Repeat the run's command: it makes them again.",
            )
        return numbered.load(entry.path)
