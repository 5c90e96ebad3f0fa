"""Cells on several processes of one machine at once; they share the store, as separate commands do."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Generator, Mapping, Sequence
from functools import partial

from bench.results.record import Record
from bench.runner.crew import Crew
from bench.runner.memory import keep_freed
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell
from bench.runner.worker import attempt
from bench.runner.worker_count import how_many, threads, threads_of
from bench.store import Store

Show = Callable[[str, str, float], None]
"""Called with a cell's label, its stage, and the share of the stage that is done."""
Done = Generator[tuple[Cell, Record]]


def execute(planned: Sequence[Cell], pipeline: Pipeline, show: Show) -> Done:
    """Every cell with its record, as it is finished. Workers end when the consumer stops early, or is interrupted.

    What is in the store is read here, before workers are started for the rest: if nothing is left, nothing is loaded.
    """
    stored = [pipeline.stored(cell) for cell in planned]
    for cell in itertools.compress(planned, stored):
        yield cell, attempt(pipeline, cell, partial(show, cell.label))
    rest = [cell for cell, there in zip(planned, stored, strict=True) if not there]
    pipeline.group(rest)
    count = how_many(pipeline.settings, pipeline.pool.device, len(rest)) if rest else 0
    if count == 1:
        keep_freed()
        with threads(threads_of(pipeline.settings, pipeline.pool.device)):
            for cell in rest:
                yield cell, attempt(pipeline, cell, partial(show, cell.label))
    elif count:
        yield from _side_by_side(rest, pipeline, count, show)


def _side_by_side(planned: Sequence[Cell], pipeline: Pipeline, count: int, show: Show) -> Done:
    """A cell whose worker dies is failed. Who of several died is found out by giving each a crew of its own."""
    outputs = [pipeline.outputs(cell) for cell in planned]
    makes = [pipeline.making(cell) for cell in planned]
    waiting, suspects = _order(planned, count), list[int]()
    crew = Crew(planned, pipeline.settings, count)
    try:
        while waiting or suspects or crew.running:
            if suspects and not crew.running:
                crew.start(suspects.pop(0))
            while not suspects and len(crew.running) < count:
                index = _next(waiting, [makes[i] for i in crew.running.values()], outputs, pipeline.store)
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
    waiting: Sequence[int], busy: Sequence[set[tuple[str, str]]], outputs: Sequence[Mapping[str, str]], store: Store
) -> int | None:
    """The first cell that waits for no output another worker is making; it would only stand at the lock."""
    making = set[tuple[str, str]]().union(*busy)
    for index in waiting:
        if all(store.cost(*item) for item in making & outputs[index].items()):
            return index
    return None
