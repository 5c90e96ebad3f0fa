"""Surrogates that know a person, thrown away when no cell of the run needs them any more (see `keep_artifacts`)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell
from bench.runner.stages.surrogate import STAGE
from bench.store import Store
from bench.store.lease import gate, held


@contextmanager
def discarding(cells: Sequence[Cell], pipeline: Pipeline) -> Iterator[Callable[[Cell], None]]:
    """To be told of every cell that is done; at the end, also of a run that is broken off, the rest goes too.

    Args:
        cells: those that are to be executed, under a lease.
        pipeline: knows their keys and the store.
    """
    keys = {cell.id: pipeline.outputs(cell).get(STAGE, "") for cell in cells}
    waiting = Counter(key for key in keys.values() if key and not pipeline.settings.keep_artifacts)

    def done(cell: Cell) -> None:
        key = keys[cell.id]
        if key in waiting:
            waiting[key] -= 1
            if not waiting[key]:
                _discard(pipeline.store, waiting, key)

    try:
        yield done
    finally:
        for key in list(waiting):
            _discard(pipeline.store, waiting, key)


def _discard(store: Store, waiting: Counter[str], key: str) -> None:
    """Unless another run needs it, which will do so itself."""
    del waiting[key]
    with gate(store.root):  # a run that begins meanwhile waits
        if sum(f"{STAGE}/{key}" in lease.keys for lease in held(store.root)) < 2:
            store.discard(STAGE, key)
