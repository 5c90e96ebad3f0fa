"""Whether records of the same photos state the same thresholds: these rest on the photos and the judges alone.

Of protocol 2 every person has thresholds of their own; of protocol 1, a data set has one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from bench.results.conditions import as_json
from bench.results.leaks import judges_of
from bench.results.record import Record

SAME = 1e-3
"""What thresholds of the same photos differ by on two machines, at most."""
OF_JUDGE = ("ilr", "ilr_matched", "stranger", "own")
"""What records of protocol 2 state of a judge: `ilr.<judge>`, and so on."""

Rule = Mapping[str, float]
"""Name of a threshold -> its value."""


def rule(record: Record) -> dict[str, float]:
    """The thresholds of a record that its leak rates and likeness rest on."""
    names = {"far", "ilr", "pairs", *(f"{name}.{judge}" for judge in judges_of(record) for name in OF_JUDGE)}
    return {name: value for name, value in record.thresholds.items() if name in names}


def differing(own: Rule, known: Rule) -> list[str]:
    """Names of thresholds that two rules for the same photos do not share."""
    names = dict.fromkeys([*known, *own])
    return [name for name in names if name not in own or name not in known or abs(own[name] - known[name]) > SAME]


class Agreement:
    """The thresholds that the records of an entry stated so far."""

    def __init__(self) -> None:
        self._first: dict[str, tuple[str, dict[str, float]]] = {}

    def faults(self, record: Record) -> Iterator[tuple[str, str]]:
        """(field, message) of each threshold that an earlier record of the same photos states otherwise."""
        own = rule(record)
        cell, known = self._first.setdefault(_whose(record), (record.cell, own))
        for name in differing(own, known):
            said = f"is {own.get(name)}, and cell {cell[:12]} of the same photos states {known.get(name)}"
            yield f"thresholds.{name}", f"{said}. Take the record as the run wrote it."


def _whose(record: Record) -> str:
    """Data, judges and, of protocol 2, the person: what a threshold is of."""
    facts = [record.provenance.get(name) for name in ("data", "judges", "judge")]
    prints = [each.get("fingerprint") if isinstance(each, dict) else each for each in facts]
    return as_json([record.protocol, record.data, record.identity if record.protocol > 1 else "", *prints])
