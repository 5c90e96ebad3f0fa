"""One line a cell, appended to a text file."""

from dataclasses import dataclass

from bench.loggers import LOGGERS, Logger, Run
from bench.results.record import Record


@LOGGERS.register("lines")
@dataclass(frozen=True)
class Lines(Logger):
    """<out>/cells.txt: a line for every cell."""

    def log(self, run: Run, record: Record) -> None:
        with (run.out / "cells.txt").open("a") as stream:
            stream.write(f"{record.identity} {record.defense.name} {record.attack.name} {record.metrics.get('ilr')}\n")
