"""What is left of a cloak's protection once somebody has treated the photos first.

A protection is what noise at a cloak's budget leaks more than the cloak, person by person, both treated the same (clean
photos, where no noise was): a blur that costs the attack itself something is no merit of the cloak. All protections of
a grid are one family of `bench.stats.max_t`, and all that countermeasures may have undone are another. The worst attack
on a person, and the countermeasure after which most leaks, are chosen by one half of the pictures and scored by the
other.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Container, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum
from statistics import fmean
from typing import Any

import numpy as np

from bench.core.names import natural
from bench.report.comparisons import WORST
from bench.results.arms import Arm, arms
from bench.results.labels import ConditionLabels, attack_key, chain_key, method_names
from bench.results.leaks import InHalves
from bench.results.record import MethodFacts, Record
from bench.results.relative import weakness
from bench.stats.comparison import adjusted, worst_attack
from bench.stats.rule import CONTROLS, SCORE
from bench.stats.variance import ALPHA

UNTREATED = "none"
BEST = "best of them"
"""The countermeasure after which most leaks of each person, or none: what an attacker picks who can try them all."""
CLEAN = "clean"

Leaks = Mapping[str, float]
"""Person -> likeness."""
Scored = Mapping[str, InHalves]
"""Person -> likeness by all pictures, and by either half of them."""
Place = tuple[str, str]
"""Cloak and countermeasures."""


class Verdict(StrEnum):
    """Of a protection under a countermeasure."""

    HOLDS = "holds"
    """There is still a protection."""
    BROKEN = "broken"
    """There was one without the countermeasure, none can be shown with it, and cloaked photos leak more than before."""
    DESTROYED = "too destructive to judge"
    """There was one, but now clean photos leak too little for anything to be prevented."""
    OPEN = "?"
    """There was one, and neither can be said."""
    NOTHING = ""
    """There was none to begin with, or no cloak, or an attack too weak to show one."""


WORDS = (
    (Verdict.HOLDS, "hold"),
    (Verdict.BROKEN, "broken"),
    (Verdict.DESTROYED, "too destructive to judge"),
    (Verdict.OPEN, "undecided"),
)
"""How several are counted."""


@dataclass(frozen=True)
class Cell:
    """One cloak under one countermeasure.

    Attributes:
        people: how many were tried with it.
        leak: mean likeness.
        verdict: on its protection.
    """

    people: int
    leak: float
    verdict: Verdict


@dataclass(frozen=True)
class Grid:
    """All cloaks under all countermeasures, against one attack or the worst.

    Attributes:
        attack: which.
        cloaks, chains: labels; clean photos and no countermeasure come first.
        cells: by cloak and chain; what was not tried is not there.
    """

    attack: str
    cloaks: tuple[str, ...]
    chains: tuple[str, ...]
    cells: dict[tuple[str, str], Cell]


def grids(records: Sequence[Record]) -> list[Grid]:
    """One for every attack, and one for the worst attack on each person, if photos were treated and left untreated.

    Seeds are averaged, person by person. Results of other conditions (data, sampler, protocol) have grids of their own.
    """
    own = [r for r in records if r.attack.name != "none" and not r.of_another_person]
    told = ConditionLabels(own, but=("on", "seed"))
    parts: dict[tuple[str, ...], list[Record]] = defaultdict(list)
    for record in own:
        parts[told.texts(record)].append(record)
    found = [(", ".join(texts), grid) for texts, part in parts.items() for grid in _grids(part)]
    return [replace(grid, attack=f"{grid.attack} ({text})") if text else grid for text, grid in found]


def _grids(own: Sequence[Record]) -> list[Grid]:
    chains, attacks = method_names(map(chain_key, own)), method_names(map(attack_key, own))
    if UNTREATED not in chains.values() or len(chains) < 2:
        return []
    bases, cloaks = {r.base for r in own}, _cloaks(own)
    beside = _beside(own, cloaks)
    groups: dict[str, dict[Place, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for number, record in enumerate(own):
        attack = attacks[attack_key(record)] + (f" on {record.base}" if len(bases) > 1 else "")
        groups[attack][cloaks[number], chains[chain_key(record)]].append(record)
    scores = {attack: {place: _scores(found) for place, found in group.items()} for attack, group in groups.items()}
    scores = {attack: found for attack, found in scores.items() if any(found.values())}
    tried = {attack: {place: [people] for place, people in found.items()} for attack, found in scores.items()}
    if len(tried) > 1:
        places = {place: None for found in scores.values() for place in found}
        tried[WORST] = {place: [found.get(place, {}) for found in scores.values()] for place in places}
    rows = tuple(dict.fromkeys(cloaks.values()))
    columns = tuple(sorted(chains.values(), key=lambda name: (name != UNTREATED, natural(name))))
    valid = {attack: _valid(group) for attack, group in groups.items()}
    valid[WORST] = set().union(*valid.values())
    return [_grid(attack, rows, columns, found, beside, valid[attack]) for attack, found in tried.items()]


def _valid(group: Mapping[Place, Sequence[Record]]) -> set[str]:
    """Countermeasures after which clean photos leak enough to judge cloaks: by the leak rate, whatever is compared."""
    rates = {
        chain: [rate for record in records if (rate := record.metric("ilr")) is not None]
        for (cloak, chain), records in group.items()
        if cloak == CLEAN
    }
    valid = {chain for chain, found in rates.items() if found and not weakness(fmean(found))}
    return valid | ({BEST} if valid else set())


def _scores(records: Sequence[Record]) -> Scored:
    """Means over seeds. Who has two results of one seed is left out: the records do not state what sets these apart."""
    people: dict[str, list[Record]] = defaultdict(list)
    for record in records:
        if record.metric(SCORE) is not None:
            people[record.identity].append(record)
    single = [r for several in people.values() if len({r.seed for r in several}) == len(several) for r in several]
    return Arm("", tuple(single), tuple(r.identity for r in single)).in_halves()


def _cloaks(records: Sequence[Record]) -> dict[int, str]:
    """Number of a record -> what its cloak is called, whatever it was tried against; controls first."""
    same: dict[str, Any] = {"countermeasure": [], "attack": MethodFacts(name="any", config={}), "base": "any"}
    same |= {"model": None, "surrogate_models": None, "weights": None, "provenance": {}, "photos_of": "", "seed": 0}
    alike = [r.model_copy(update={**same, "identity": str(number)}) for number, r in enumerate(records)]
    return {int(record.identity): arm.label for arm in arms(alike) for record in arm.records}


def _beside(records: Sequence[Record], called: Mapping[int, str]) -> dict[str, str | None]:
    """Every cloak, and noise at its budget, if there is one and no other; controls are not in it."""
    labels = [(r.defense.name, r.defense.budget, called[number]) for number, r in enumerate(records)]
    noises: dict[float, set[str]] = defaultdict(set)
    for name, budget, label in labels:
        if name == "noise":
            noises[budget].add(label)
    one = {budget: next(iter(found)) for budget, found in noises.items() if len(found) == 1}
    return {label: one.get(budget) for name, budget, label in labels if name not in CONTROLS}


def _grid(
    attack: str,
    cloaks: tuple[str, ...],
    chains: tuple[str, ...],
    tried: Mapping[Place, Sequence[Scored]],
    beside: Mapping[str, str | None],
    valid: Container[str],
) -> Grid:
    """A grid of what was tried at every place: one attack, or all of which the worst counts."""
    every = dict(tried) | {(c, BEST): [s for chain in chains for s in tried.get((c, chain), [{}])] for c in cloaks}
    leaks = {place: _worst(several) for place, several in every.items()}
    verdicts = _verdicts(leaks, beside, valid)
    cells = {
        (cloak, chain): Cell(len(found), fmean(found.values()), verdicts.get((cloak, chain), Verdict.NOTHING))
        for (cloak, chain), found in leaks.items()
        if found
    }
    return Grid(attack, cloaks, (*chains, BEST), cells)


def _worst(several: Sequence[Scored]) -> Leaks:
    """Of the people who have a value in all: what was not tried was not survived."""
    people = sorted(set.intersection(*map(set, several))) if several else []
    if len(several) == 1 or not people:
        return {person: several[0][person].whole for person in people}
    halves = np.array([[found[person][1:] for person in people] for found in several])
    return dict(zip(people, worst_attack(np.moveaxis(halves, -1, 0), lower_is_better=True).tolist(), strict=True))


def _verdicts(
    leaks: Mapping[Place, Leaks], beside: Mapping[str, str | None], valid: Container[str]
) -> dict[Place, Verdict]:
    """Of every cloak that protects without a countermeasure, under each; `valid` are those that can be judged."""
    protections = {
        (cloak, chain): _less(leaks.get((beside[cloak] or "", chain)) or leaks.get((CLEAN, chain), {}), found)
        for (cloak, chain), found in leaks.items()
        if cloak in beside and chain in valid
    }
    holds = _shown(protections)
    asked = [(cloak, chain) for cloak, chain in leaks if (cloak, UNTREATED) in holds]
    rises = _shown({(cloak, chain): _less(leaks[cloak, chain], leaks[cloak, UNTREATED]) for cloak, chain in asked})
    found = {}
    for cloak, chain in asked:
        if chain not in valid:
            found[cloak, chain] = Verdict.DESTROYED if leaks.get((CLEAN, chain)) else Verdict.OPEN
        elif (cloak, chain) in holds:
            found[cloak, chain] = Verdict.HOLDS
        else:
            found[cloak, chain] = Verdict.BROKEN if (cloak, chain) in rises else Verdict.OPEN
    return found


def _less(more: Leaks, less: Leaks) -> Leaks:
    return {person: more[person] - less[person] for person in sorted(more.keys() & less.keys())}


def _shown(differences: Mapping[tuple[str, str], Leaks]) -> set[tuple[str, str]]:
    """Of which it is shown that they are above 0, all together."""
    return {question for question, p in adjusted(differences, two_sided=False).items() if p < ALPHA}


def sentences(found: Sequence[Grid]) -> Iterator[str]:
    """For every countermeasure, what becomes of the protections that there are without it; the worst attack aside."""
    single = [grid for grid in found if not grid.attack.startswith(WORST)]
    for chain in single[0].chains[1:] if single else ():
        verdicts: dict[Verdict, list[str]] = defaultdict(list)
        for grid in single:
            for cloak in grid.cloaks:
                if cell := grid.cells.get((cloak, chain)):
                    verdicts[cell.verdict].append(f"{cloak} against {grid.attack}")
        judged = sum(len(named) for verdict, named in verdicts.items() if verdict is not Verdict.NOTHING)
        counts = ", ".join(
            f"{len(named)} {word}" + (f" ({'; '.join(named)})" if verdict is Verdict.BROKEN else "")
            for verdict, word in WORDS
            if (named := verdicts[verdict])
        )
        yield f"{chain}: of {judged} protections {counts or 'there is nothing to say'}."
