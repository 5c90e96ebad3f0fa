"""The numbers of a run as a table: one row per attack, arm and metric, with interval, tier and group letters.

As CSV with all digits, as the one table that a paper prints, and as LaTeX. Tiers and letters are of the identity leak
rate, the score that arms are ranked by: cloaks that beat noise have them, and two share a letter exactly if they cannot
be told apart.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields

import numpy as np

from bench.core.spreadsheet import csv_text
from bench.report.analysis import RunAnalysis
from bench.report.comparisons import WORST, AttackComparison
from bench.report.formats import latex_table
from bench.results.labels import attack_after_chain, chain_label
from bench.results.record import Record
from bench.stats import mean_interval
from bench.stats.rule import SCORE, letters, tiers
from metrics import METRICS


@dataclass(frozen=True)
class Entry:
    """One metric of one arm, over people.

    Attributes:
        attack: which, or the worst of several.
        arm: its label.
        metric: its name.
        better: "lower" or "higher", for the person.
        people: how many have a value.
        mean, low, high: over them; the 95 % interval, None for fewer than two people.
        tier, group: of the leak rate; None and empty for other metrics, controls, and what does not beat noise.
    """

    attack: str
    arm: str
    metric: str
    better: str
    people: int
    mean: float
    low: float | None
    high: float | None
    tier: int | None = None
    group: str = ""


def entries(analysis: RunAnalysis) -> list[Entry]:
    """All arms of all attacks, in the order of the run's table; then those of the worst attack."""
    ranks = _ranks(analysis.comparisons)
    found = [
        _entry(attack, arm.label, metric, list(arm.values(metric).values()), ranks)
        for attack, group in analysis.by_attack.items()
        for arm in group
        for metric in analysis.metrics
        if arm.values(metric)
    ]
    for standing in analysis.comparisons:
        if standing.attack == WORST:
            for column, arm_label in enumerate(standing.scores.methods):
                values = standing.scores.values[:, column]
                found.append(_entry(WORST, arm_label, SCORE, list(values[~np.isnan(values)]), ranks))
    return found


def as_csv(found: Iterable[Entry]) -> bytes:
    """One line per entry; what does not exist is empty."""
    return csv_text([[f.name for f in fields(Entry)], *map(astuple, found)]).encode()


WORN = ("linf", "psnr")
"""What a cloak looks like, beside the leak rates."""


def across(records: Sequence[Record], found: Sequence[Entry]) -> tuple[list[str], list[list[str]]]:
    """The table that a paper prints: a line for every arm, with its leak rate against every attack and the worst.

    Rates come with intervals and letters, and with what the cloak looks like. Where some photos met countermeasures,
    the columns are of those that met none; the worst attack is over all.

    Returns:
        Header and lines; none if the run has one attack.
    """
    untreated = {attack_after_chain(r) for r in records if not chain_label(r)}
    attacks = list(dict.fromkeys(e.attack for e in found))
    columns = [a for a in attacks if a in untreated or a == WORST] if set(attacks) & untreated else attacks
    if len(columns) < 2:
        return [], []
    known = {(e.attack, e.arm, e.metric): e for e in found}
    shown = [(attack, SCORE) for attack in columns]
    lines = []
    for arm in dict.fromkeys(e.arm for e in found):
        worn = [next((known[a, arm, name] for a in attacks if (a, arm, name) in known), None) for name in WORN]
        lines.append([arm, *(_printed(known.get((a, arm, m))) for a, m in shown), *map(_printed, worn)])
    return ["arm", *columns, *(name.upper() for name in WORN)], lines


def as_latex(found: Sequence[Entry], caption: str, first: tuple[list[str], list[list[str]]] = ([], [])) -> str:
    """The table of all attacks, if there is one, and one of each, with those of the main metrics that it has."""
    header, lines = first
    tables = [latex_table(header, lines, f"{caption}: likeness. {NOTE}", wide=True)] if lines else []
    for attack in dict.fromkeys(entry.attack for entry in found):
        of_attack = {(e.arm, e.metric): e for e in found if e.attack == attack}
        columns = [
            name for name, metric in METRICS.all().items() if metric.head and any(m == name for _, m in of_attack)
        ]
        rows = [
            [arm, str(of_attack[arm, SCORE].people), *(_printed(of_attack.get((arm, name))) for name in columns)]
            for arm in dict.fromkeys(arm for arm, _ in of_attack)
            if (arm, SCORE) in of_attack
        ]
        header = ["arm", "people", *(f"{name.upper()} {_arrow(name)}" for name in columns)]
        tables.append(latex_table(header, rows, f"{caption}: {attack}. {NOTE}"))
    return "\n".join(tables)


NOTE = (
    "Means over people, 95 % intervals in brackets. A cloak without a letter is not shown to beat noise at its budget; "
    "those that share one cannot be told apart."
)


def _printed(entry: Entry | None) -> str:
    """A mean; of the leak rate, with interval and letters."""
    if entry is None:
        return "-"
    digits = 1 if (metric := METRICS.find(entry.metric)) and metric.unit else 2
    text = f"{entry.mean:.{digits}f}"
    if entry.metric not in (SCORE, "ilr"):
        return text
    interval = f" [{entry.low:.2f}, {entry.high:.2f}]" if entry.low is not None and entry.high is not None else ""
    return text + interval + (f" {entry.group}" if entry.group else "")


def _arrow(metric: str) -> str:
    return "(lower)" if METRICS.get(metric).lower_is_better else "(higher)"


def _entry(
    attack: str, arm: str, metric: str, values: Sequence[float], ranks: dict[tuple[str, str], tuple[int | None, str]]
) -> Entry:
    declared = METRICS.find(metric)
    interval = None
    if len(values) > 1:
        interval = mean_interval(values, bounds=declared.range if declared else (-np.inf, np.inf))
    low, high = interval if interval else (None, None)
    tier, group = ranks.get((attack, arm), (None, "")) if metric == SCORE else (None, "")
    better = declared.better if declared else ""
    return Entry(attack, arm, metric, better, len(values), float(np.mean(values)), low, high, tier, group)


def _ranks(compared: Sequence[AttackComparison]) -> dict[tuple[str, str], tuple[int | None, str]]:
    """(attack, arm) -> tier and group letters."""
    found: dict[tuple[str, str], tuple[int | None, str]] = {}
    for standing in compared:
        ranked = zip(
            standing.scores.methods,
            tiers(standing.scores, standing.judged),
            letters(standing.scores, standing.judged),
            strict=True,
        )
        found |= {(standing.attack, arm): (tier, group) for arm, tier, group in ranked}
    return found
