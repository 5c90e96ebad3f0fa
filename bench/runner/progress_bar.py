"""The progress display: stage, person, share done and time left; plain lines where there is no terminal.

There a line says every now and then that the run lives, since a stage may take long: a log without one looks dead.
"""

from __future__ import annotations

import datetime
import time
from collections.abc import Callable
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.text import Text

from bench.results.record import Record

WEIGHTS = {"surrogate": 0.1, "protect": 0.3, "fit": 0.45, "generate": 0.05, "measure": 0.1}
"""Rough share of a cell's time that each stage takes: good enough for a time estimate."""
HEARTBEAT = 30.0
"""Seconds without a line after which there is one, where there is no terminal."""


class Display:
    """Shows a run of `count` cells on a console."""

    def __init__(self, console: Console, count: int, clock: Callable[[], float] = time.monotonic) -> None:
        self._console = console
        self._count = count
        self._clock = clock
        self._started = self._told = clock()
        self._progress = Progress(
            TextColumn("{task.description}", markup=False),
            BarColumn(),
            MofNCompleteColumn(),
            TimeElapsedColumn(),
            TextColumn("{task.fields[left]}", markup=False),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task = self._progress.add_task("starting", total=count, left="")
        self._done = 0
        self._parts: dict[str, float] = {}  # of the cells under way, by label

    def __enter__(self) -> Display:
        self._progress.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._progress.stop()

    def show(self, label: str, stage: str, share: float) -> None:
        """A stage of a cell has come to `share`."""
        names = list(WEIGHTS)
        before = sum(WEIGHTS[name] for name in names[: names.index(stage)])
        self._parts[label] = before + WEIGHTS[stage] * share
        done = self._done + sum(self._parts.values())
        self._progress.update(self._task, description=f"{stage:8s} {label}", completed=done, left=self._left(done))
        if not self._console.is_terminal and self._clock() - self._told >= HEARTBEAT:
            self._beat(f"{stage} {label}", done)

    def _beat(self, doing: str, done: float) -> None:
        """A line on how far it has come."""
        self._told = now = self._clock()
        far = [f"... {self._done} of {self._count} cells", _span(now - self._started), self._left(done)]
        words = f"{', '.join(filter(None, far))}: {doing}"
        self._console.print(Text(words), soft_wrap=True)

    def _left(self, done: float) -> str:
        """Time left; nothing before a first cell is done, since its cloak may serve many others."""
        spent = self._clock() - self._started
        return f"about {_span(spent / done * (self._count - done))} left" if self._done else ""

    def finish(self, record: Record, label: str) -> None:
        """A cell is done: leave one line about it."""
        self._done += 1
        self._told = self._clock()
        self._parts.pop(label, None)
        done = self._done + sum(self._parts.values())
        self._progress.update(self._task, completed=done, left=self._left(done))
        work = sum(stage.seconds for stage in record.stages.values() if not stage.cached)
        leak = record.metrics.get("ilr")
        result = f"ILR {leak:.2f}" if leak is not None else record.status
        took = f"{work:.0f} s" if work else "in the store" if record.stages else ""
        self._console.print(Text(f"{label:45s} {result:10s} {took}"))


def _span(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))
