"""What a run can tell apart: its arms in tiers, for every attack and for the worst attack on every person.

An attack after a countermeasure counts as an attack of its own: the attacker may choose both. What is the worst is
chosen by one half of the pictures and scored by the other (`bench.stats.comparison.worst_attack`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.types import Array
from bench.results.arms import Arm, arms
from bench.results.labels import attack_after_chain, attack_label, chain_label
from bench.results.leaks import can_be_parted
from bench.results.record import Record
from bench.results.relative import Setting, arm_setting
from bench.stats.comparison import Ranking, Scores, ranking, worst_attack
from bench.stats.rule import CONTROLS, SCORE, Judged, judge
from metrics import METRICS

WORST = "worst attack"
LONG = tuple(name for name, metric in METRICS.of("identity").items() if metric.head)
"""The identity metrics that come first, wherever there is no room for all."""

ArmsOf = Mapping[str, Sequence[Arm]]
"""Attack -> its arms, as `by_attack` gives them."""


@dataclass(frozen=True)
class AttackComparison:
    """The arms of one attack, or of the worst.

    Attributes:
        attack: which, or `WORST`.
        scores: their likeness, person by person.
        judged: what may be said of them.
        order: how firm their order is.
    """

    attack: str
    scores: Scores
    judged: Judged
    order: Ranking | None


def compared(scores: Mapping[str, Scores]) -> list[AttackComparison]:
    """What may be said of the scores of every attack, and of the worst."""
    return [AttackComparison(attack, each, judge(each), ranking(each)) for attack, each in scores.items()]


def scored(arms_of: ArmsOf) -> dict[str, Scores]:
    """Attack, or `WORST` -> the scores that are compared: of at least two arms and two people.

    The worst attack is chosen person by person, among the attacks of the run. An arm that was not tried, or failed,
    against one of them has no worst attack: what was not tried was not survived.
    """
    attacks, people, methods, cube = _cube(arms_of)
    layers = dict(zip(attacks, cube[0], strict=True))
    if len(attacks) > 1:
        layers[WORST] = worst_attack(cube[1:], lower_is_better=True)
    controls, noise = references(arms_of)
    scores = {attack: _scores(methods, people, values, controls, noise) for attack, values in layers.items()}
    return {attack: each for attack, each in scores.items() if min(each.values.shape) > 1}


def leaking(arms_of: ArmsOf) -> dict[str, tuple[int, int]]:
    """Attack -> how many people's clean photos leak at all, of so many: of the others no cloak can show anything."""
    shares = {}
    for attack, group in arms_of.items():
        leaks = [arm.values("ilr") for arm in group if arm.records[0].defense.name == "none"]
        each = [leak for values in leaks for leak in values.values()]
        if each:
            shares[attack] = sum(leak > 0 for leak in each), len(each)
    return shares


def false_leaks(arms_of: ArmsOf) -> dict[str, float]:
    """Attack -> the share in which what it makes of clean photos passes for other people of the data set."""
    rates = {}
    for attack, group in arms_of.items():
        clean = [arm.values("false_leak") for arm in group if arm.records[0].defense.name == "none"]
        each = [rate for values in clean for rate in values.values()]
        if each:
            rates[attack] = sum(each) / len(each)
    return rates


def references(arms_of: ArmsOf) -> tuple[set[str], dict[str, str]]:
    """Labels of the controls among the arms, and of every cloak that has it, its noise: budget and setting alike."""
    controls: set[str] = set()
    noise: dict[str, str] = {}
    for group in arms_of.values():
        controls |= {arm.label for arm in group if arm.records[0].defense.name in CONTROLS}
        noises = {_setting(arm): arm.label for arm in group if arm.records[0].defense.name == "noise"}
        cloaks = [arm for arm in group if arm.label not in controls]
        noise |= {arm.label: label for arm in cloaks if (label := noises.get(_setting(arm)))}
    return controls, noise


def _setting(arm: Arm) -> tuple[Setting, float]:
    """What an arm has in common with its noise."""
    return arm_setting(arm.records[0]), arm.records[0].defense.budget


@dataclass(frozen=True)
class AttackerChoice:
    """What leaks of an arm, by how the attacker chooses an attack; chosen and scored by different pictures.

    Attributes:
        arm: its label.
        per_person: mean over people of the likeness by the worst attack on each.
        once: likeness by the attack that is the worst of all people together.
        attack: that one, by all pictures.
    """

    arm: str
    per_person: float
    once: float
    attack: str


def attacker_choices(arms_of: ArmsOf) -> list[AttackerChoice]:
    """For every arm, over the people on whom all attacks were tried; nothing if the run has one attack alone."""
    attacks, _, methods, cube = _cube(arms_of)
    choices = []
    for column, arm in enumerate(methods if len(attacks) > 1 else ()):
        values = cube[:, :, ~np.isnan(cube[0, :, :, column]).any(axis=0), column]
        if values.size:
            means = values.mean(axis=2)
            per_person, once = (worst_attack(of, lower_is_better=True) for of in (values[1:], means[1:]))
            choices.append(AttackerChoice(arm, float(per_person.mean()), float(once), attacks[int(means[0].argmax())]))
    return choices


def choice(records: Sequence[Record]) -> str:
    """How the worst attack on a person was chosen, in a sentence."""
    if all(can_be_parted(record) for record in records if record.metric(SCORE) is not None):
        return (
            "The worst attack on a person is chosen by one half of the pictures and scored by the other, both ways: "
            "the highest of several noisy scores would be too high."
        )
    return (
        "The worst attack on a person is chosen and scored by the same pictures where records do not state likeness "
        "picture by picture (those of protocol 1 do not): there the highest of several noisy scores is too high."
    )


def metrics_of(records: Sequence[Record]) -> list[str]:
    """Names of the metrics that some record has a value of, in the order of `METRICS`."""
    names = {name for r in records for name, value in r.metrics.items() if value is not None}
    place = {name: number for number, name in enumerate(METRICS.all())}
    return sorted(names, key=lambda name: (place.get(name.partition(".")[0], len(place)), name))


def by_attack(records: Sequence[Record]) -> dict[str, list[Arm]]:
    """The arms of every attack, after each countermeasure by itself: only photos treated the same are compared.

    The base and other people are no arms.
    """
    attacks = list(dict.fromkeys(attack_label(r) for r in records))
    ordered = sorted(records, key=lambda r: (attacks.index(attack_label(r)), chain_label(r)))
    groups: dict[str, list[Record]] = {attack_after_chain(r): [] for r in ordered if r.attack.name != "none"}
    for record in records:
        if not record.of_another_person and record.attack.name != "none":
            groups[attack_after_chain(record)].append(record)
    own = [r for r in records if r.attack.name != "none" and not r.of_another_person]
    return {name: arms(group, own) for name, group in groups.items()}


def _cube(arms_of: ArmsOf) -> tuple[list[str], list[str], list[str], Array]:
    """Attacks, people, arms, and their likeness (3, attacks, people, arms), NaN where there is none.

    By all pictures, and by either half of them.
    """
    tables = {attack: {arm.label: arm.in_halves() for arm in group} for attack, group in arms_of.items()}
    tables = {attack: table for attack, table in tables.items() if any(table.values())}  # the others did not run at all
    people = list(dict.fromkeys(person for table in tables.values() for values in table.values() for person in values))
    methods = list(dict.fromkeys(method for table in tables.values() for method in table))
    none = (np.nan,) * 3
    cube = np.array([[[t.get(m, {}).get(p, none) for m in methods] for p in people] for t in tables.values()])
    cube = np.moveaxis(cube.reshape(len(tables), len(people), len(methods), 3), -1, 0)
    return list(tables), people, methods, cube


def _scores(
    methods: Sequence[str], people: Sequence[str], values: Array, controls: set[str], noise: dict[str, str]
) -> Scores:
    """Without the people and methods that have no value at all."""
    rows = np.flatnonzero(~np.isnan(values).all(axis=1))
    columns = np.flatnonzero(~np.isnan(values).all(axis=0))
    place = {methods[int(column)]: number for number, column in enumerate(columns)}
    return Scores(
        tuple(place),
        tuple(people[int(row)] for row in rows),
        values[rows][:, columns],
        lower_is_better=True,
        bounds=(0, 1),
        controls=frozenset(place[label] for label in controls & place.keys()),
        noise={place[cloak]: place[of] for cloak, of in noise.items() if cloak in place and of in place},
    )
