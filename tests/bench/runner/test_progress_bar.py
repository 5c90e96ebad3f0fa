"""What a run says of a cell that is done."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from bench.results.record import Record
from bench.runner import progress_bar
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


def test_without_a_terminal_a_line_says_every_half_minute_that_the_run_lives(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(progress_bar, "WEIGHTS", {"protect": 0.4, "fit": 0.6})
    now = [0.0]
    console = Console(file=io.StringIO(), width=100)
    with Display(console, 2, clock=lambda: now[0]) as display:
        for now[0] in (1.0, 29.0, 31.0, 45.0, 62.0):
            display.show("ann, clean", "protect", 0.5)
        now[0] = 80.0
        display.finish(record(**FAILED), "ann, clean")
        for now[0] in (100.0, 111.0):
            display.show("bob, clean", "protect", 0.5)
    lines = console.file.getvalue().splitlines()  # type: ignore[attr-defined]
    assert [line for line in lines if line.startswith("...")] == [
        "... 0 of 2 cells, 0:00:31: protect ann, clean",
        "... 0 of 2 cells, 0:01:02: protect ann, clean",
        "... 1 of 2 cells, 0:01:51, about 0:01:14 left: protect bob, clean",
    ]


def test_on_a_terminal_the_bar_says_it() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with Display(console, 2, clock=lambda: now[0]) as display:
        now[0] = 100.0
        display.show("ann, clean", "protect", 0.5)
    text = console.file.getvalue()  # type: ignore[attr-defined]
    assert "protect  ann, clean" in text
    assert "..." not in text
    assert "left" not in text


def test_on_a_terminal_the_time_left_is_there_once_a_cell_is_done() -> None:
    now = [0.0]
    console = Console(file=io.StringIO(), width=100, force_terminal=True)
    with Display(console, 2, clock=lambda: now[0]) as display:
        now[0] = 80.0
        display.finish(record(**FAILED), "ann, clean")
        display.show("bob, clean", "surrogate", 0.0)
    assert "about 0:01:20 left" in console.file.getvalue()  # type: ignore[attr-defined]
