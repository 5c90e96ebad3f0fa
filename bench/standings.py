"""What a run can tell apart: its arms in tiers, for every attack and for the worst attack on every person."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from bench.arms import arms, attack_label
from bench.record import Record
from bench.stats.comparison import Pair, Scores, compare, worst_attack
from bench.types import Array

WORST = "worst attack"
METRIC = "ilr"


@dataclass(frozen=True)
class Standing:
    """The arms of one attack, or of the worst.

    Attributes:
        attack: which, or `WORST`.
        scores: their identity leak rates, person by person.
        pairs: all of them compared.
    """

    attack: str
    scores: Scores
    pairs: list[Pair]


def standings(records: Sequence[Record]) -> list[Standing]:
    """One for every attack with at least two arms and two people, and one for the worst of several attacks.

    The worst attack is chosen person by person, among the attacks of the run. An arm that was not tried, or failed,
    against one of them has no worst attack: what was not tried was not survived.
    """
    tables: dict[str, dict[str, dict[str, float]]] = {}
    for attack in dict.fromkeys(attack_label(r) for r in records if r.attack.name != "none"):
        own = [r for r in records if attack_label(r) == attack and not r.of_another_person]
        tables[attack] = {arm.label: arm.values(METRIC) for arm in arms(own)}
    people = list(dict.fromkeys(person for table in tables.values() for values in table.values() for person in values))
    methods = list(dict.fromkeys(method for table in tables.values() for method in table))
    cube = np.array(
        [[[t.get(m, {}).get(p, np.nan) for m in methods] for p in people] for t in tables.values()]
    ).reshape(len(tables), len(people), len(methods))
    layers = dict(zip(tables, cube, strict=True))
    if len(tables) > 1:
        layers[WORST] = worst_attack(cube, lower_is_better=True)
    found = [(attack, _known(methods, people, values)) for attack, values in layers.items()]
    return [Standing(attack, scores, compare(scores)) for attack, scores in found if min(scores.values.shape) > 1]


def _known(methods: Sequence[str], people: Sequence[str], values: Array) -> Scores:
    """Without the people and methods that have no value at all."""
    rows = np.flatnonzero(~np.isnan(values).all(axis=1))
    columns = np.flatnonzero(~np.isnan(values).all(axis=0))
    return Scores(
        tuple(methods[int(column)] for column in columns),
        tuple(people[int(row)] for row in rows),
        values[rows][:, columns],
        lower_is_better=True,
    )
