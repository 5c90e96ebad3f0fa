"""What a cell costs for what it can tell: two recipes of the same attacks, side by side.

    python -m benchmarks.recipes runs/before runs/after

Both are runs on the same people and cloaks, made on the same machine one after another; nothing is computed again. A
recipe is worth its core-seconds times the people it takes to tell two cloaks apart: here those that find a difference
of 0.10 in likeness with power 80 %, by the median spread over pairs of arms. It must also leave what the cloaks do as
it was: the leak of clean photos, and the order of the cloaks.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from scipy.stats import kendalltau

from bench.core.types import Array
from bench.results.labels import arm_label, attack_label
from bench.results.leaks import leaks, likeness_of_pictures
from bench.results.record import CLOAK, Record, load_all
from bench.stats.variance import people_needed

DIFFERENCE = 0.1
"""In likeness, that is to be found."""

NAN = float("nan")

Cells = dict[str, dict[str, Record]]
"""Arm -> person -> its record."""


def main(words: Sequence[str]) -> int:
    """Print both runs by attack, the order of cloaks, and what fewer pictures a cell would do."""
    if len(words) != 2:
        print(__doc__)
        return 2
    before, after = (by_attack(load_all(Path(word))) for word in words)
    common = [attack for attack in before if attack in after]
    console = Console()
    console.print(costs(before, after, common))
    console.print(orders(before, after, common))
    console.print(fewer_pictures(after, common))
    return 0


def by_attack(records: Sequence[Record]) -> dict[str, Cells]:
    """The measured cells of each attack."""
    found: dict[str, Cells] = defaultdict(lambda: defaultdict(dict))
    for record in records:
        if record.status == "ok" and record.attack.name != "none":
            found[attack_label(record)][arm_label(record)][record.identity] = record
    return found


# -- the tables


def costs(before: Mapping[str, Cells], after: Mapping[str, Cells], attacks: Sequence[str]) -> Table:
    """Core-seconds of a cell, what leaks of clean photos, people, and core-seconds of an answer."""
    table = Table("attack", title=f"before, after; people: who find {DIFFERENCE:g} in likeness", title_justify="left")
    for column in ("s a cell", "leak, clean", "leak, noise", "people", "s an arm that answers", "times"):
        table.add_column(column, justify="right")
    answers = []
    for attack in attacks:
        both = before[attack], after[attack]
        answer = [seconds(cells) * people(cells) for cells in both]
        answers.append(answer)
        table.add_row(
            attack,
            beside(both, seconds, ".1f"),
            beside(both, lambda cells: leak(cells.get("clean", {})), ".2f"),
            beside(both, lambda cells: leak(noise(cells)), ".2f"),
            beside(both, people, ".0f"),
            f"{answer[0]:,.0f}, {answer[1]:,.0f}",
            f"{answer[0] / answer[1]:.1f}",
        )
    if answers:
        mean = [float(np.mean([seconds(run[attack]) for attack in attacks])) for run in (before, after)]
        first, second = np.mean(answers, axis=0)
        table.add_section()
        cell = f"{mean[0]:.1f}, {mean[1]:.1f} ({mean[0] / mean[1]:.1f} times)"
        table.add_row("mean", cell, "", "", "", f"{first:,.0f}, {second:,.0f}", f"{first / second:.1f}")
    return table


def orders(before: Mapping[str, Cells], after: Mapping[str, Cells], attacks: Sequence[str]) -> Table:
    """Mean likeness of every arm by both recipes, and how far the two orders agree."""
    arms = list(dict.fromkeys(arm for attack in attacks for arm in before[attack]))
    table = Table("attack", *arms, "Kendall's tau", title="likeness: before, after", title_justify="left")
    for attack in attacks:
        means = [[likeness(run[attack].get(arm, {})) for arm in arms] for run in (before, after)]
        tau = agreement(np.array(means))
        table.add_row(attack, *(f"{old:.2f}, {new:.2f}" for old, new in zip(*means, strict=True)), f"{tau:.2f}")
    return table


def fewer_pictures(run: Mapping[str, Cells], attacks: Sequence[str]) -> Table:
    """People and core-seconds of an answer, had every cell had the first pictures of each prompt alone."""
    table = Table("attack", title="after, by pictures a prompt: people, core-seconds", title_justify="left")
    most = min(per_prompt(record) for attack in attacks for arm in run[attack].values() for record in arm.values())
    counts = [2**power for power in range(most.bit_length()) if 2**power <= most]
    for count in counts:
        table.add_column(str(count), justify="right")
    sums = np.zeros(len(counts))
    for attack in attacks:
        needed = [people(run[attack], count) for count in counts]
        costs = [n * seconds(run[attack], count) for n, count in zip(needed, counts, strict=True)]
        sums += costs
        table.add_row(attack, *(f"{n:.0f}, {cost:,.0f}" for n, cost in zip(needed, costs, strict=True)))
    table.add_section()
    table.add_row("mean", *(f"{value / len(attacks):,.0f}" for value in sums))
    return table


# -- their figures


def agreement(means: Array) -> float:
    """Kendall's tau of two orders, (2, arms), over the arms that both have; NaN for fewer than two."""
    both = means[:, ~np.isnan(means).any(axis=0)]
    return float(kendalltau(*both).statistic) if both.shape[1] > 1 else NAN


def beside(both: Sequence[Cells], figure: Callable[[Cells], float], form: str) -> str:
    """A figure of both recipes."""
    return ", ".join(format(figure(cells), form) for cells in both)


def noise(cells: Cells) -> Mapping[str, Record]:
    """The arm with noise, if there is one."""
    return next((people for arm, people in cells.items() if arm.startswith("noise ")), {})


def leak(arm: Mapping[str, Record]) -> float:
    """ILR, the mean over people."""
    return float(np.mean([leaks(record).mean() for record in arm.values()])) if arm else NAN


def likeness(arm: Mapping[str, Record], count: int | None = None) -> float:
    """Mean over people and pictures."""
    return float(np.mean([of_person(record, count) for record in arm.values()])) if arm else NAN


def seconds(cells: Cells, count: int | None = None) -> float:
    """Core-seconds of a cell without its cloak: its fit, and its pictures, of which `count` a prompt are made."""
    fits, pictures = [], []
    for record in (record for arm in cells.values() for record in arm.values()):
        share = 1 if count is None else count / per_prompt(record)
        own = {name: facts.seconds for name, facts in record.stages.items() if name not in CLOAK}
        fits.append(own.pop("fit", 0.0))
        pictures.append(share * sum(own.values()))
    return float(np.mean(fits) + np.mean(pictures))


def people(cells: Cells, count: int | None = None) -> float:
    """How many people find `DIFFERENCE` between two arms of median spread; NaN if no two arms share two people."""
    spreads = []
    for one, other in combinations(cells.values(), 2):
        differences = [of_person(one[p], count) - of_person(other[p], count) for p in one.keys() & other.keys()]
        if len(differences) > 1:
            spreads.append(np.std(differences, ddof=1))
    return people_needed(DIFFERENCE, float(np.median(spreads))) if spreads else NAN


def of_person(record: Record, count: int | None = None) -> float:
    """Mean likeness of a cell's pictures, of the first `count` of each prompt."""
    values = likeness_of_pictures(record)
    assert values is not None, f"{record.identity} has no likeness"
    return float(values[first_of_each(record, count)].mean())


def first_of_each(record: Record, count: int | None) -> Array:
    """(n,) bool: which pictures are among the first of their prompt."""
    return np.array([count is None or facts.image < count for facts in record.images])


def per_prompt(record: Record) -> int:
    """How many pictures a prompt has."""
    return 1 + max(facts.image for facts in record.images)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
