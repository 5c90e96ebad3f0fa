"""What a run says of a cell that is done."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.results.record import Record
from bench.runner.progress_bar import Display
from tests.support.records import FULL, record

STAGE = FULL["stages"]["fit"] | {"seconds": 12.4}
FAILED = {"status": "failed", "reason": "no memory", "metrics": {}, "images": [], "stages": {}}


@pytest.mark.parametrize(
    ("made", "result", "took"),
    [
        (record(stages={"fit": STAGE | {"cached": False}}, metrics={"ilr": 0.25}), "ILR 0.25", "12 s"),
        (record(stages={"fit": STAGE | {"cached": True}}, metrics={"ilr": 0.25}), "ILR 0.25", "in the store"),
        (record(**FAILED), "failed", ""),
    ],
    ids=["computed", "from the store", "failed before a stage"],
)
def test_one_line_about_it(made: Record, result: str, took: str) -> None:
    console = Console(file=io.StringIO(), width=100)
    with Display(console, 1) as display:
        display.finish(made, "ann, clean")
    (line,) = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [part.strip() for part in line.partition(result)] == ["ann, clean", result, took]
