"""What is said below a run's table."""

from __future__ import annotations

from bench.report.analysis import RunAnalysis
from bench.report.remarks import remarks
from bench.results.record import Record
from tests.support.plain_records import defense, record


def rated(person: str, name: str, rate: float | None, **more: object) -> Record:
    """A record of a rate of false leaks."""
    made = record(person, 0.9, defense=defense(name, 0.0 if name == "none" else 8.0), thresholds={"far": 0.01})
    return made.model_copy(update={"metrics": {**made.metrics, "false_leak": rate}, **more})


def test_false_leaks_of_clean_photos_are_told_attack_by_attack() -> None:
    """Those of cloaks and of photos of another person, of former runs, are not among them."""
    people = [rated("ann", "none", 0.01), rated("bob", "none", 0.03)]
    others = [rated("ann", "noise", 0.5), rated("ann", "none", 0.7, photos_of="bob")]
    lines = [line for line in remarks(RunAnalysis([*people, *others])) if line.startswith("False leaks")]
    (attack,) = {r.attack.name for r in people}
    assert lines == [
        f"False leaks, of pictures of clean photos that pass for others of the data set: 2.0% ({attack}); "
        "1.0% would by the false-accept rate."
    ]


def test_records_without_the_rate_say_nothing_of_it() -> None:
    assert not [line for line in remarks(RunAnalysis([record("ann", 0.9)])) if "False leaks" in line]
