"""Loggers: where a run reports its cells besides its own folder. No result depends on them."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from bench.core.registry import Registry
from bench.core.types import Pixels
from bench.report.analysis import RunAnalysis
from bench.results.manifest import RunManifest
from bench.results.record import Record


@dataclass(frozen=True)
class Run:
    """What a logger is told of the run.

    Attributes:
        out: the run's folder.
        data: name of the data set.
        invented: whether nobody in it is a real person.
        defense: the defense that the run is about; all others are controls, or of a suite.
        pictures: the pictures generated in a cell that is ok.
    """

    out: Path
    data: str
    invented: bool
    defense: str
    pictures: Callable[[Record], list[Pixels]]

    @property
    def name(self) -> str:
        """The run's name: that of its folder."""
        return self.out.resolve().name


@dataclass(frozen=True)
class Logger(ABC):
    """Base class of all loggers. Fields are the `logger.` settings.

    A logger may raise anything: a run goes on without it. A cell that is logged again takes the place of its former
    self, since a command that is repeated logs all its cells again.
    """

    def check(self, run: Run) -> None:  # noqa: B027  # most have nothing to refuse
        """Whether the settings fit the run; called before any work.

        Raises:
            BenchError: they do not; this one stops the run.
        """

    def destination(self, run: Run) -> str:
        """Where results go besides the run's folder, in a line that the run says before it begins; empty: nowhere."""
        return ""

    def files(self, run: Run) -> str:
        """Where it put what, and how to send it on, in a line that the run says at its end; empty: nowhere."""
        return ""

    def begin(self, run: Run, plan: RunManifest) -> None:  # noqa: B027  # most wait for the first cell
        """Called once everything is checked, before the first cell; the manifest has settings and cells."""

    @abstractmethod
    def log(self, run: Run, record: Record) -> None:
        """Report a cell that has come to its end, whatever its status."""

    def finish(self, run: Run, analysis: RunAnalysis) -> None:  # noqa: B027  # nor anything to add
        """Report the run as a whole, once all its cells are done; the analysis is of all records in its folder."""

    def close(self, run: Run) -> None:  # noqa: B027  # most have nothing open
        """Called last, whatever ended the run: an interrupt, too."""


LOGGERS: Registry[Logger] = Registry(
    "logger",
    "cloakbench.loggers",
    {
        "wandb": "bench.loggers.wandb_runs:Wandb",
        "csv": "bench.loggers.csv_file:CsvFile",
        "none": "bench.loggers.none:NoLogger",
    },
)
