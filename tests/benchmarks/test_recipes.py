"""What a recipe costs for what it tells, counted by hand: two arms, two people, one attack."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from bench.results.record import Record
from bench.stats.variance import people_needed
from benchmarks.recipes import by_attack, costs, fewer_pictures, likeness, orders, people, seconds
from tests.support.plain_records import defense, of_pictures

STAGE = {"peak_mb": 1.0, "cached": False}


def cell(person: str, name: str, pictures: Sequence[float], fit: float = 10.0) -> Record:
    """A cell whose cloak took 100 s, its fit as given, and its pictures a second each."""
    took = {"protect": 100.0, "fit": fit, "generate": len(pictures) / 2, "measure": len(pictures) / 2}
    stages = {stage: {**STAGE, "seconds": value, "key": f"{stage} {person} {name}"} for stage, value in took.items()}
    made = of_pictures(person, pictures, defense=defense(name, 0.0 if name == "none" else 8.0), stages=stages)
    return made.model_copy(update={"thresholds": made.thresholds | {"ilr.judge": 0.5}})


BEFORE = [
    cell("ann", "none", [0.9, 0.7]),
    cell("bob", "none", [0.8, 0.8]),
    cell("ann", "aspl", [0.1, 0.5]),
    cell("bob", "aspl", [0.4, 0.6]),
]
AFTER = [cell(r.identity, r.defense.name, [0.9, 0.1] if r.defense.name == "none" else [0.2, 0.2], 3) for r in BEFORE]
(ATTACK,) = by_attack(BEFORE)


def test_a_cell_costs_its_fit_and_its_pictures_and_the_cloak_is_the_same_for_all() -> None:
    cells = by_attack(BEFORE)[ATTACK]
    assert seconds(cells) == pytest.approx(10 + 2)
    assert seconds(cells, 1) == pytest.approx(10 + 1)


def test_people_are_those_that_the_spread_of_paired_differences_asks_for() -> None:
    cells = by_attack(BEFORE)[ATTACK]
    assert people(cells) == people_needed(0.1, abs(0.5 - 0.3) / 2**0.5)  # ann 0.8 - 0.3, bob 0.8 - 0.5
    assert people(cells, 1) == people_needed(0.1, abs(0.8 - 0.4) / 2**0.5)  # ann 0.9 - 0.1, bob 0.8 - 0.4
    assert likeness(cells["aspl 8/255"], 1) == pytest.approx((0.1 + 0.4) / 2)


def test_the_tables_show_both_recipes() -> None:
    before, after = by_attack(BEFORE), by_attack(AFTER)
    told = [list(column.cells) for column in costs(before, after, [ATTACK]).columns]
    assert told[1][0] == "12.0, 5.0"
    assert told[2][0] == "1.00, 0.50"
    assert told[6][0] == told[6][-1]
    order = [list(column.cells) for column in orders(before, after, [ATTACK]).columns]
    assert [cells[0] for cells in order[1:]] == ["0.80, 0.50", "0.40, 0.20", "1.00"]
    assert [column.header for column in fewer_pictures(after, [ATTACK]).columns] == ["attack", "1", "2"]
