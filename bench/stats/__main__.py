"""What a table of person-by-person scores can and cannot show.

python -m bench.stats FILE.csv [--metric NAME] [--higher NAME ...] [--pairs]
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.cli import guarded
from bench.stats.comparison import ALPHA, Pair, Ranking, Scores, compare, letters, ranking, tiers
from bench.stats.intervals import mean_interval
from bench.stats.table import read
from bench.stats.variance import POWER, detectable, people_needed

EXAMPLE = 0.1
"""A difference for which the needed people are named."""


def main(arguments: Sequence[str]) -> int:
    """Print the analysis of every metric and budget of a file."""
    parser = ArgumentParser("bench.stats", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("file", type=Path, help="CSV: method,identity,budget,metric,value; one row per person")
    parser.add_argument("--metric", help="only this metric")
    parser.add_argument("--higher", nargs="+", default=[], metavar="NAME", help="metrics of which more is better")
    parser.add_argument("--pairs", action="store_true", help="list every pair of methods")
    options = parser.parse_args(arguments)
    console = Console()
    for (metric, budget), scores in read(options.file, options.higher, options.metric).items():
        pairs, order = compare(scores), ranking(scores)
        better = "lower" if scores.lower_is_better else "higher"
        console.print(_table(f"{escape(metric)} at budget {escape(budget)} ({better} is better)", scores, pairs, order))
        for line in summary(scores, pairs, order):
            console.print(line)
        if options.pairs:
            console.print(_pairs(scores, pairs))
        console.print()
    return 0


def summary(scores: Scores, pairs: Sequence[Pair], order: Ranking | None) -> list[str]:
    """What can be separated, how firm the order is, and what it would take to know more."""
    apart, raw = sum(p.separable for p in pairs), sum(p.p < ALPHA for p in pairs)
    lines = [f"Separable after Holm: {apart} of {len(pairs)} pairs ({raw} with p < {ALPHA} before it)."]
    if order is not None:
        lines.append(
            f"The whole order comes out the same in {order.reproduced:.0%} of resamples of {order.people} people."
        )
    differences = [scores.values[:, p.first] - scores.values[:, p.second] for p in pairs]
    spreads = [float(np.nanstd(d, ddof=1)) for d in differences]
    if spreads and (spread := float(np.median(spreads))) > 0:
        people = len(scores.people)
        lines.append(
            f"A typical paired difference has SD {spread:.3g}: if only one pair is compared, {people} people find "
            f"{detectable(spread, people):.2g} with power {POWER:.0%}; {EXAMPLE:g} takes "
            f"{people_needed(EXAMPLE, spread)} people."
        )
    missing = int(np.isnan(scores.values).sum())
    if missing:
        lines.append(f"{missing} of {scores.values.size} values are missing; pairs use the people who have both.")
    return lines


def _table(title: str, scores: Scores, pairs: Sequence[Pair], order: Ranking | None) -> Table:
    made = Table(title=title, box=box.SIMPLE_HEAD)
    for name in ("method", "tier", "group", "people", "mean", "95 %", "rank 95 %", "first"):
        made.add_column(name, justify="left" if name in ("method", "group") else "right")
    tier, group, means = tiers(scores, pairs), letters(scores, pairs), scores.means()
    for m in scores.order():
        known = scores.values[~np.isnan(scores.values[:, m]), m]
        interval = mean_interval(known) if len(known) > 1 else None
        made.add_row(
            escape(scores.methods[m]),
            str(tier[m]),
            group[m],
            str(len(known)),
            f"{means[m]:.3f}",
            f"{interval.low:.3f} to {interval.high:.3f}" if interval else "-",
            f"{order.intervals[m].low:g} to {order.intervals[m].high:g}" if order else "-",
            f"{order.first[m]:.0%}" if order else "-",
        )
    return made


def _pairs(scores: Scores, pairs: Sequence[Pair]) -> Table:
    made = Table(title="pairs, of the smallest p first", box=box.SIMPLE_HEAD)
    for name in ("first", "second", "people", "difference", "95 %", "p", "after Holm", "separable"):
        made.add_column(name, justify="left" if name in ("first", "second") else "right")
    for pair in sorted(pairs, key=lambda p: p.p):
        made.add_row(
            escape(scores.methods[pair.first]),
            escape(scores.methods[pair.second]),
            str(pair.people),
            f"{pair.difference:+.3f}",
            f"{pair.interval.low:+.3f} to {pair.interval.high:+.3f}",
            f"{pair.p:.2g}",
            f"{pair.adjusted:.2g}",
            "yes" if pair.separable else "no",
        )
    return made


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
