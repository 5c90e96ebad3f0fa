"""Cells on several processes of one machine at once; they share the store, as separate commands do.

On a CPU a worker has one thread: two of them get further than one with two threads, and results do not depend on how
many cores there are.
"""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from functools import partial
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue
from types import ModuleType

import cloudpickle

from bench.config.schema import RunSettings
from bench.core.errors import BenchError, reason_of
from bench.core.plugins import import_plugins
from bench.models.diffusion.model_cache import Pool
from bench.results.record import Record
from bench.runner.memory import keep_freed
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell
from bench.store import Store, default_root

Show = Callable[[str, str, float], None]
"""Called with a cell's label, its stage, and the share of the stage that is done."""
Done = Generator[tuple[Cell, Record]]

MEMORY = 2 * 2**30
"""Bytes that a worker with an embedded model needs at most (measured: 1.6 GB)."""
TICK = 0.2
"""Seconds between two looks at the workers."""
LEAVE = os._exit
"""Also while a plug-in is being imported, which must not end the process (see `bench.core.plugins`)."""


def execute(planned: Sequence[Cell], pipeline: Pipeline, show: Show) -> Done:
    """Every cell with its record, as it is finished. Workers end when the consumer stops early, or is interrupted."""
    count = how_many(pipeline.settings, pipeline.pool.device, len(planned))
    if count == 1:
        keep_freed()
        with threads(threads_of(pipeline.settings, pipeline.pool.device)):
            for cell in planned:
                yield cell, attempt(pipeline, cell, partial(show, cell.label))
    else:
        yield from _side_by_side(planned, pipeline, count, show)


def attempt(pipeline: Pipeline, cell: Cell, progress: Callable[[str, float], None]) -> Record:
    """Execute a cell, and again while it fails and there are retries left."""
    for _ in range(pipeline.settings.retries):
        done = pipeline.run(cell, progress)
        if done.status != "failed":
            return done
    return pipeline.run(cell, progress)


def how_many(settings: RunSettings, device: str, cells: int) -> int:
    """Number of workers: the one asked for, else one a device, or on a CPU one a core that has memory enough.

    A full-size base on a CPU gets one worker, with all threads.
    """
    if isinstance(settings.workers, int):
        wanted = settings.workers
    elif device != "cpu":
        wanted = len(settings.devices)
    elif _embedded(settings):
        import torch

        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        # PyTorch knows what a launcher or OMP_NUM_THREADS leaves this process.
        wanted = min(torch.get_num_threads(), memory // MEMORY)
    else:
        wanted = 1
    return max(1, min(wanted, cells))


def threads_of(settings: RunSettings, device: str) -> int | None:
    """Threads of a worker; None leaves PyTorch's own number."""
    if settings.threads is not None or device != "cpu":
        return settings.threads
    return 1 if _embedded(settings) else None


@contextlib.contextmanager
def threads(count: int | None) -> Iterator[None]:
    """PyTorch computes with so many threads inside; None changes nothing."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(count or before)
    try:
        yield
    finally:
        torch.set_num_threads(before)


def _embedded(settings: RunSettings) -> bool:
    """Whether all bases of a run are small."""
    grids = settings.suite.grids
    bases = [*settings.surrogates, *(grid.model or settings.model for grid in grids)]
    return all(base.family == "facelet" for base in (*bases, *(grid.surrogate for grid in grids)) if base is not None)


# -- the process that deals out cells ----------------------------------------------------------------------------------


def _side_by_side(planned: Sequence[Cell], pipeline: Pipeline, count: int, show: Show) -> Done:
    """A cell whose worker dies is failed. Who of several died is found out by giving each a crew of its own."""
    outputs = [pipeline.outputs(cell) for cell in planned]
    waiting, suspects = _order(planned, count), list[int]()
    crew = Crew(planned, pipeline.settings, count)
    try:
        while waiting or suspects or crew.running:
            if suspects and not crew.running:
                crew.start(suspects.pop(0))
            while not suspects and len(crew.running) < count:
                index = _next(waiting, [outputs[i] for i in crew.running.values()], outputs, pipeline.store)
                if index is None:
                    break
                waiting.remove(index)
                crew.start(index)
            finished, died = crew.look()
            for index, stage, share in crew.news():
                show(planned[index].label, stage, share)
            for index, done in finished:
                yield planned[index], done
            if died:
                crew.check()
                crew.stop()
                crew = Crew(planned, pipeline.settings, count)
                suspects += died if len(died) > 1 else []
                if len(died) == 1:
                    reason = "The process that did this cell died. If memory ran out: workers=1, or a smaller batch."
                    yield planned[died[0]], pipeline.failed(planned[died[0]], reason)
    finally:
        crew.stop()


def _order(planned: Sequence[Cell], count: int) -> list[int]:
    """As many people at a time as there are workers; first cloaks that are made on a surrogate, last the bare base.

    What takes longest, begun last, would leave the other workers idle; and people should be done one after another.
    """
    people = {name: index for index, name in enumerate(dict.fromkeys(cell.identity.name for cell in planned))}
    groups = [people[cell.identity.name] // count for cell in planned]

    def place(index: int) -> tuple[int, bool, bool]:
        return groups[index], not planned[index].surrogates, planned[index].attack.name == "none"

    return sorted(range(len(planned)), key=place)


def _next(
    waiting: Sequence[int], busy: Sequence[Mapping[str, str]], outputs: Sequence[Mapping[str, str]], store: Store
) -> int | None:
    """The first cell that waits for no output another worker is making; it would only stand at the lock."""
    making = {item for keys in busy for item in keys.items()}
    for index in waiting:
        if all(store.cost(*item) for item in making & outputs[index].items()):
            return index
    return None


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
        work = cloudpickle.dumps(list(planned))
        main = getattr(sys.modules["__main__"], "__file__", None)
        self._pool = ProcessPoolExecutor(count, context, _begin, (settings, work, main, devices, told, ended))
        self.running: dict[Future[Record], int] = {}
        self._broken = False
        self._begun = 0
        self._refused = ""

    def start(self, index: int) -> None:
        """Have a cell done; if a worker has just died, it counts as one of those that may have been its end."""
        try:
            with _by_themselves():
                future = self._pool.submit(_work, index)
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


# -- a worker ----------------------------------------------------------------------------------------------------------

BEGUN = "begun"
"""What a worker says first, unless it says why it cannot begin."""
_here: tuple[Pipeline, Sequence[Cell], Connection]


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


def _begin(
    settings: RunSettings,
    work: bytes,
    main: str | None,
    devices: SimpleQueue[str],
    told: Connection,
    ended: Connection,
) -> None:
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that deals out cells hears it, and ends the workers
    threading.Thread(target=_live_as_long_as, args=(ended,), daemon=True).start()
    try:
        _here = (*_ready(settings, work, main, devices.get()), told)
        told.send(BEGUN)
    except BaseException as error:
        told.send(reason_of(error)[:900])  # short, as below
        LEAVE(1)


def _ready(settings: RunSettings, work: bytes, main: str | None, device: str) -> tuple[Pipeline, Sequence[Cell]]:
    import torch
    from tqdm import tqdm

    os.environ.pop("PYTHONSAFEPATH", None)
    tqdm.set_lock(threading.RLock())  # its own is the system's, and would be left behind by a worker that is ended
    keep_freed()
    import_plugins(settings.plugins)
    if main:
        sys.modules["__main__"].__file__ = main  # where the sources are of what the main script defines
    planned = pickle.loads(work)
    pool = Pool(device)
    if count := threads_of(settings, pool.device):
        torch.set_num_threads(count)
    return Pipeline(settings, planned[0].data, Store(default_root(settings.store)), pool), planned


def _work(index: int) -> Record:
    pipeline, planned, told = _here
    # A message this short is written in one piece: workers need no lock, which one that is killed would keep.
    return attempt(pipeline, planned[index], lambda stage, share: told.send((index, stage, share)))


def _live_as_long_as(ended: Connection) -> None:
    """End this process when the other one closes its end, or dies."""
    with contextlib.suppress(EOFError):
        ended.recv()
    LEAVE(1)
