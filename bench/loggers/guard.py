"""A logger's failure is never the run's."""

from __future__ import annotations

import contextlib
from collections.abc import Callable

from rich.console import Console
from rich.text import Text

from bench.core.errors import BenchError, reason_of
from bench.loggers import Logger, Run
from bench.report.analysis import RunAnalysis
from bench.results.manifest import RunManifest
from bench.results.record import Record

LONGEST = 200
"""Characters of an error that are shown."""


class Guard:
    """Calls a logger. Its first failure is told in one line, and it is not called again.

    A server that does not answer costs its timeout once, and not with every cell. Nothing is lost by it: repeating the
    command takes all results from the store and logs them.
    """

    def __init__(self, logger: Logger, name: str, run: Run, console: Console) -> None:
        self._logger = logger
        self._name = name
        self._run = run
        self._console = console
        self._off = False

    def check(self) -> None:
        """See `Logger.check`.

        Raises:
            BenchError: the settings do not fit the run.
        """
        self._call(self._logger.check, self._run, passing=(BenchError,))

    def destination(self) -> str:
        """See `Logger.destination`."""
        said: list[str] = []
        self._call(lambda: said.append(self._logger.destination(self._run)))
        return "".join(said)

    def files(self) -> str:
        """See `Logger.files`."""
        said: list[str] = []
        self._call(lambda: said.append(self._logger.files(self._run)))
        return "".join(said)

    def begin(self, plan: RunManifest) -> None:
        """See `Logger.begin`."""
        self._call(self._logger.begin, self._run, plan)

    def log(self, record: Record) -> None:
        """See `Logger.log`."""
        self._call(self._logger.log, self._run, record)

    def finish(self, analysis: RunAnalysis) -> None:
        """See `Logger.finish`."""
        self._call(self._logger.finish, self._run, analysis)

    def close(self) -> None:
        """See `Logger.close`. What has failed already says no more, and may still have something open."""
        if self._off:
            with contextlib.suppress(Exception, SystemExit):
                self._logger.close(self._run)
        self._call(self._logger.close, self._run)

    def _call(self, method: Callable[..., None], *arguments: object, passing: tuple[type[Exception], ...] = ()) -> None:
        if self._off:
            return
        try:
            method(*arguments)
        except passing:
            raise
        except (
            Exception,
            SystemExit,
        ) as error:  # of a stranger's package, a server or a disk: none of the run's business
            self._off = True
            reason = " ".join(reason_of(error).split())[:LONGEST]
            self._console.print(
                Text.assemble(
                    (f"logger={self._name} failed and is off for the rest of this run", "yellow"),
                    f" ({reason}). Results are complete; repeat the command to log them.",
                ),
                soft_wrap=True,
            )
