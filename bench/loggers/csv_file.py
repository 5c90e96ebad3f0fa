"""`<out>/cells.csv`: one row per cell."""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock

from bench.core.spreadsheet import csv_text
from bench.loggers import Logger, Run
from bench.results.record import Record
from bench.results.rows import Value, row
from bench.store import write_atomic

FILE = "cells.csv"


@dataclass(frozen=True)
class CsvFile(Logger):
    """A table of the cells in <out>/cells.csv, which grows with every cell."""

    def files(self, run: Run) -> str:
        """See `Logger.files`."""
        return str(run.out / FILE)

    def log(self, run: Run, record: Record) -> None:
        """Add the cell's row, in place of an earlier one of the same cell. What does not exist is an empty field."""
        file = run.out / FILE
        run.out.mkdir(parents=True, exist_ok=True)
        with FileLock(run.out / f".{FILE}.lock"):  # the run may have another process
            rows = [old for old in _read(file) if old["cell"] != record.cell]
            write_atomic(file, _text([*rows, row(record)]))


def _read(file: Path) -> list[dict[str, str]]:
    if not file.is_file():
        return []
    with file.open(newline="", encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def _text(rows: Iterable[dict[str, str] | dict[str, Value]]) -> bytes:
    """All rows under the columns that any of them has: cells that failed have no metrics."""
    found = list(rows)
    columns = dict.fromkeys(name for line in found for name in line)
    return csv_text([columns, *([line.get(name) for name in columns] for line in found)]).encode()
