"""No logger: results stay in the run's folder."""

from __future__ import annotations

from dataclasses import dataclass

from bench.loggers import Logger, Run
from bench.results.record import Record


@dataclass(frozen=True)
class NoLogger(Logger):
    """Results stay on this machine, in the run's folder."""

    def log(self, run: Run, record: Record) -> None:
        pass
