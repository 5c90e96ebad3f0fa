"""The worker processes of a run, seen from the one that deals out cells."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import sys
from collections.abc import Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from types import ModuleType

import cloudpickle

from bench.config.schema import RunSettings
from bench.core.errors import BenchError
from bench.results.record import Record
from bench.runner.plan import Cell
from bench.runner.worker import BEGUN, begin, work

TICK = 0.2
"""Seconds between two looks at the workers."""


class Crew:
    """Worker processes, and which cell each future stands for.

    Args:
        planned: the cells; workers are told indices.
        settings: of the run.
        count: number of processes; they share the run's devices in turn.
    """

    def __init__(self, planned: Sequence[Cell], settings: RunSettings, count: int) -> None:
        context = multiprocessing.get_context("spawn")  # a fork would inherit threads, and a GPU's state
        self._news, told = context.Pipe(duplex=False)
        ended, self._lifeline = context.Pipe(duplex=False)
        with _by_themselves():
            devices = context.SimpleQueue()
        for index in range(count):
            devices.put(settings.devices[index % len(settings.devices)])
        # Unpickled only after the plug-ins have been imported; what the main script defines goes with it.
        pickled = cloudpickle.dumps(list(planned))
        main = getattr(sys.modules["__main__"], "__file__", None)
        self._pool = ProcessPoolExecutor(count, context, begin, (settings, pickled, main, devices, told, ended))
        self.running: dict[Future[Record], int] = {}
        self._broken = False
        self._begun = 0
        self._refused = ""

    def start(self, index: int) -> None:
        """Have a cell done; if a worker has just died, it counts as one of those that may have been its end."""
        try:
            with _by_themselves():
                future = self._pool.submit(work, index)
        except BrokenProcessPool as error:
            future = Future()
            future.set_exception(error)
        self.running[future] = index

    def look(self) -> tuple[list[tuple[int, Record]], list[int]]:
        """Wait a moment: the cells finished since, with their records, and those that were lost with their worker."""
        finished, died = list[tuple[int, Record]](), list[int]()
        done = wait(self.running, TICK, FIRST_COMPLETED).done
        if any(isinstance(future.exception(), BrokenProcessPool) for future in done):
            done = wait(self.running).done  # all end with the crew
        for future in done:
            index = self.running.pop(future)
            try:
                finished.append((index, future.result()))
            except BrokenProcessPool:
                died.append(index)
        self._broken |= bool(died)
        return finished, sorted(died)

    def news(self) -> Iterator[tuple[int, str, float]]:
        """How far cells have come."""
        while self._news.poll():
            told = self._news.recv()
            if isinstance(told, tuple):
                yield told
            elif told == BEGUN:
                self._begun += 1
            else:
                self._refused = told

    def check(self) -> None:
        """To be asked when workers have died.

        Raises:
            BenchError: they do so before they can begin, so that others would, too.
        """
        if self._refused or not self._begun:
            why = self._refused or "They may have been killed for want of memory; what they said is above."
            raise BenchError(
                f"The run's processes end before they can begin. {why}",
                "With workers=1 everything is done in this process.",
            )

    def stop(self) -> None:
        """End the workers, also those at work; what they had not finished is not in the store.

        A broken pool asks its processes to end and waits for them, but one that it was just starting is not asked.
        """
        if self.running or self._broken:
            self._lifeline.close()
        self._pool.shutdown(cancel_futures=True)
        self._lifeline.close()


@contextlib.contextmanager
def _by_themselves() -> Iterator[None]:
    """Processes started inside do not know the main script, and import nothing from its folder before they are ready.

    Else each would import the script, which without a guard (`if __name__ == "__main__"`) would begin the run again.
    """
    main, safe = sys.modules["__main__"], os.environ.get("PYTHONSAFEPATH")
    sys.modules["__main__"], os.environ["PYTHONSAFEPATH"] = ModuleType("__main__"), "1"
    try:
        yield
    finally:
        sys.modules["__main__"] = main
        if safe is None:
            del os.environ["PYTHONSAFEPATH"]
        else:
            os.environ["PYTHONSAFEPATH"] = safe
