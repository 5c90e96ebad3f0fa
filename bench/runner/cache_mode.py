"""What a run does about what is there already (`mode`).

| mode | cells that are executed | what is in the store |
|---|---|---|
| cached | all | is used |
| retry | those without a record, or whose record says failed or skipped | is used |
| force | all | is thrown away first, as far as these cells name it |
| read_only | those whose outputs are all there; others keep their record, or are skipped | is used, and no more made |
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path

from bench.results.record import Record, load_all, save
from bench.runner.cell_record import stated
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell

SETTLED = ("ok", "fit_failed")
"""Statuses that a cell would come to again."""


def choose(planned: Sequence[Cell], pipeline: Pipeline, out: Path) -> list[Cell | Record]:
    """For every planned cell the cell, if it is to be executed, or the record that stands. May throw outputs away."""
    mode, chosen = pipeline.settings.mode, list[Cell | Record](planned)
    if mode == "force":
        _throw_away(planned, pipeline)
    elif mode != "cached":
        known = {cell.id: cell for cell in planned}
        settled = {r.cell: _completed(r, known.get(r.cell), out) for r in load_all(out) if r.status in SETTLED}
        if mode == "retry":
            chosen = [settled.get(cell.id, cell) for cell in planned]
        else:
            chosen = [c if c.skip or pipeline.stored(c) else settled.get(c.id) or _skipped(c) for c in planned]
    return chosen


def _completed(record: Record, cell: Cell | None, out: Path) -> Record:
    """A record that stands, with what an older version did not state: as the hash is equal, it was the same."""
    if cell is None or record.model is not None:
        return record
    whole = record.model_copy(update=stated(cell))
    save(whole, out / "cells")
    return whole


def _throw_away(planned: Sequence[Cell], pipeline: Pipeline) -> None:
    for cell in planned:
        for stage, key in pipeline.outputs(cell).items():
            pipeline.store.remove(stage, key)


def _skipped(cell: Cell) -> Cell:
    return dataclasses.replace(cell, skip="not all of it is in the store, and mode=read_only computes nothing")
