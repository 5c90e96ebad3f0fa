"""How many processes do a run's cells, and how many threads each has.

On a CPU a worker has one thread: two of them get further than one with two threads, and results do not depend on how
many cores there are.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

from bench.config.schema import RunSettings

MEMORY = 2 * 2**30
"""Bytes that a worker with an embedded model needs at most (measured: 1.6 GB)."""


def how_many(settings: RunSettings, device: str, cells: int) -> int:
    """Number of workers: the one asked for, else one a device, or on a CPU one a core that has memory enough.

    A full-size base on a CPU gets one worker, with all threads.
    """
    if isinstance(settings.workers, int):
        count = settings.workers
    elif device != "cpu":
        count = len(settings.devices)
    elif _embedded(settings):
        import torch

        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
        # PyTorch knows what a launcher or OMP_NUM_THREADS leaves this process.
        count = min(torch.get_num_threads(), memory // MEMORY)
    else:
        count = 1
    return max(1, min(count, cells))


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
