"""A worker: a process that does cells, and ends with the one that deals them out."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.queues import SimpleQueue

from bench.config.schema import RunSettings
from bench.core.errors import reason_of
from bench.core.plugins import import_plugins
from bench.models.diffusion.model_cache import Pool
from bench.results.record import Record
from bench.runner.memory import keep_freed
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell
from bench.runner.worker_count import threads_of
from bench.store import Store, default_root

LEAVE = os._exit
"""Also while a plug-in is being imported, which must not end the process (see `bench.core.plugins`)."""

BEGUN = "begun"
"""What a worker says first, unless it says why it cannot begin."""
_here: tuple[Pipeline, Sequence[Cell], Connection]


def attempt(pipeline: Pipeline, cell: Cell, progress: Callable[[str, float], None]) -> Record:
    """Execute a cell, and again while it fails and there are retries left."""
    for _ in range(pipeline.settings.retries):
        done = pipeline.run(cell, progress)
        if done.status != "failed":
            return done
    return pipeline.run(cell, progress)


def begin(
    settings: RunSettings,
    pickled: bytes,
    main: str | None,
    devices: SimpleQueue[str],
    told: Connection,
    ended: Connection,
) -> None:
    """Make a worker of this process: what it needs to do cells, or why it cannot."""
    global _here
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # the process that deals out cells hears it, and ends the workers
    threading.Thread(target=live_as_long_as, args=(ended,), daemon=True).start()
    try:
        _here = (*_ready(settings, pickled, main, devices.get()), told)
        told.send(BEGUN)
    except BaseException as error:
        told.send(reason_of(error)[:900])  # short, as below
        LEAVE(1)


def _ready(settings: RunSettings, pickled: bytes, main: str | None, device: str) -> tuple[Pipeline, Sequence[Cell]]:
    import torch
    from tqdm import tqdm

    os.environ.pop("PYTHONSAFEPATH", None)
    tqdm.set_lock(threading.RLock())  # its own is the system's, and would be left behind by a worker that is ended
    keep_freed()
    import_plugins(settings.plugins)
    if main:
        sys.modules["__main__"].__file__ = main  # where the sources are of what the main script defines
    planned = pickle.loads(pickled)
    pool = Pool(device)
    if count := threads_of(settings, pool.device):
        torch.set_num_threads(count)
    pipeline = Pipeline(settings, planned[0].data, Store(default_root(settings.store)), pool)
    pipeline.group(planned)
    return pipeline, planned


def work(index: int) -> Record:
    """Do the cell of this number."""
    pipeline, planned, told = _here
    # A message this short is written in one piece: workers need no lock, which one that is killed would keep.
    return attempt(pipeline, planned[index], lambda stage, share: told.send((index, stage, share)))


def live_as_long_as(ended: Connection) -> None:
    """End this process when the other one closes its end, or dies."""
    with contextlib.suppress(EOFError):
        ended.recv()
    LEAVE(1)
