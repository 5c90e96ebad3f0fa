"""One table and a few sentences that say what scores can and cannot show."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.stats.comparison import Pair, Ranking, Scores, fewest_people, letters, tiers
from bench.stats.intervals import mean_interval
from bench.stats.variance import ALPHA, POWER, detectable, people_needed

COLUMNS = ("method", "tier", "group", "people", "mean", "95 %", "rank 95 %", "first")
"""`first` is the share of resamples in which a method is the best."""
EXAMPLE = 0.1
"""A difference for which the needed people are named."""


def rows(scores: Scores, pairs: Sequence[Pair], order: Ranking | None) -> list[list[str]]:
    """The methods, best mean first, in the order of `COLUMNS`."""
    tier, group, means = tiers(scores, pairs), letters(scores, pairs), scores.means()
    found = []
    for m in scores.order():
        known = scores.values[~np.isnan(scores.values[:, m]), m]
        interval = mean_interval(known, bounds=scores.bounds) if len(known) > 1 else None
        found.append(
            [
                scores.methods[m],
                str(tier[m]),
                group[m],
                str(len(known)),
                f"{means[m]:.3f}",
                f"{interval.low:.3f} to {interval.high:.3f}" if interval else "-",
                f"{order.intervals[m].low:g} to {order.intervals[m].high:g}" if order else "-",
                f"{order.first[m]:.0%}" if order else "-",
            ]
        )
    return found


def sentences(scores: Scores, pairs: Sequence[Pair], order: Ranking | None) -> list[str]:
    """What can be separated, how firm the order is, and what it would take to know more."""
    people = len(scores.people)
    apart, raw = sum(p.separable for p in pairs), sum(p.p < ALPHA for p in pairs)
    lines = [f"Separable after Holm: {apart} of {len(pairs)} pairs ({raw} with p < {ALPHA} before it)."]
    if (least := fewest_people(len(pairs))) > people:
        lines.append(f"With {people} people no pair can ever be separated: {len(pairs)} pairs take at least {least}.")
    if order is not None:
        share, resampled = f"{order.reproduced:.0%}", f"resamples of {order.people} people"
        lines.append(f"The whole order comes out the same in {share} of {resampled}.")
    spreads = [float(np.nanstd(scores.values[:, p.first] - scores.values[:, p.second], ddof=1)) for p in pairs]
    if spreads and (spread := float(np.median(spreads))) > 0:
        lines.append(
            f"A typical paired difference has SD {spread:.3g}: if only one pair is compared, {people} people find "
            f"{detectable(spread, people):.2g} with power {POWER:.0%}; {EXAMPLE:g} takes "
            f"{people_needed(EXAMPLE, spread)} people."
        )
    if missing := int(np.isnan(scores.values).sum()):
        lines.append(f"{missing} of {scores.values.size} values are missing; pairs use the people who have both.")
    return lines
