"""What a sweep saves, counted by hand: two cloaks against one attack, of one person, with a control."""

from __future__ import annotations

from typing import Any

from bench.results.record import Record
from benchmarks.sharing import by_command, compared, passes, seconds
from tests.support.plain_records import record

UNET = {"unet": {"plain": 0, "inputs": 0, "weights": 7}}


def cell(name: str, **stages: tuple[str, float]) -> Record:
    """A cell with stages of some key and seconds, seven passes each."""
    facts: dict[str, Any] = {
        stage: {"seconds": took, "peak_mb": 1.0, "key": key, "cached": False, "passes": UNET}
        for stage, (key, took) in stages.items()
    }
    return record(defense={"name": name, "budget": 0.0 if name == "none" else 8.0, "config": {}}, stages=facts)


RECORDS = [
    cell("none", protect=("p0", 1), fit=("f0", 10)),
    cell("mist", protect=("p1", 2), fit=("f1", 20)),
    cell("aspl", protect=("p2", 4), fit=("f2", 40)),
]


def test_a_command_for_each_cloak_does_the_control_again() -> None:
    assert [[r.defense.name for r in some] for some in by_command(RECORDS)] == [["none", "mist"], ["none", "aspl"]]
    assert compared(RECORDS, ["fit"], seconds) == ["70", "80", "1.1", "70", "1.0"]
    assert compared(RECORDS, ["protect", "fit"], passes) == ["42", "56", "1.3", "42", "1.0"]


def test_outputs_that_cells_share_count_once() -> None:
    again = [*RECORDS, cell("mist", protect=("p1", 2), fit=("f1", 20), counter=("c", 5))]
    assert compared(again, ["protect"], seconds) == ["7", "8", "1.1", "9", "1.3"]
