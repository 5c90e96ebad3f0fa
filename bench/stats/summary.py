"""One table and a few sentences that say what scores can and cannot show."""

from __future__ import annotations

import numpy as np

from bench.stats.comparison import Ranking, Scores
from bench.stats.intervals import mean_interval
from bench.stats.max_t import fewest_people
from bench.stats.rule import Judged, has_noise, letters, standing, tiers
from bench.stats.variance import POWER, detectable, people_needed

COLUMNS = ("method", "tier", "group", "people", "mean", "95 %", "rank 95 %", "first", "said")
"""`first` is the share of resamples in which a method is the best; `said` is what may be said of it beside noise."""
EXAMPLE = 0.1
"""A difference for which the needed people are named."""


def rows(scores: Scores, judged: Judged, order: Ranking | None) -> list[list[str]]:
    """The controls, then the others, best mean first, in the order of `COLUMNS`."""
    tier, group, means = tiers(scores, judged), letters(scores, judged), scores.means()
    place = {method: i for i, method in enumerate(scores.ranked)}
    found = []
    for m in sorted(scores.order(), key=lambda method: method not in scores.controls):
        known = scores.values[~np.isnan(scores.values[:, m]), m]
        interval = mean_interval(known, bounds=scores.bounds) if len(known) > 1 else None
        firm = order if m in place else None
        found.append(
            [
                scores.methods[m],
                "-" if tier[m] is None else str(tier[m]),
                group[m] or "-",
                str(len(known)),
                f"{means[m]:.3f}",
                f"{interval.low:.3f} to {interval.high:.3f}" if interval else "-",
                f"{firm.intervals[place[m]].low:g} to {firm.intervals[place[m]].high:g}" if firm else "-",
                f"{firm.first[place[m]]:.0%}" if firm else "-",
                standing(scores, judged, m) if m in scores.controls or has_noise(scores) else "-",
            ]
        )
    return found


def counts(scores: Scores, judged: Judged) -> str:
    """How many methods beat noise, and how many pairs of them can be told apart."""
    apart = f"{sum(p.separable for p in judged.pairs)} of {len(judged.pairs)} pairs"
    if not has_noise(scores):
        return f"no noise to compare with; {apart} can be told apart"
    return f"{len(judged.passed)} of {len(scores.ranked)} beat noise; {apart} of these can be told apart"


def sentences(scores: Scores, judged: Judged, order: Ranking | None) -> list[str]:
    """What can be separated, how firm the order is, and what it would take to know more."""
    people, pairs = len(scores.people), judged.pairs
    said = counts(scores, judged)
    lines = [f"{said[0].upper()}{said[1:]} (sign flips over people, all questions of a family together)."]
    for family, what in ((judged.against_noise, "be shown to beat noise"), (pairs, "be told from another")):
        if family and people < (least := fewest_people(family[0].two_sided)):
            lines.append(f"With {people} people no method can {what}, whatever its scores: it takes at least {least}.")
    if order is not None:
        share, resampled = f"{order.reproduced:.0%}", f"resamples of {order.people} people"
        lines.append(f"The whole order comes out the same in {share} of {resampled}.")
    spreads = [
        float(np.nanstd(scores.values[:, p.first] - scores.values[:, p.second], ddof=1))
        for p in (*judged.against_noise, *pairs)
    ]
    if spreads and (spread := float(np.median(spreads))) > 0:
        lines.append(
            f"A typical paired difference has SD {spread:.3g}: if only one pair is compared, {people} people find "
            f"{detectable(spread, people):.2g} with power {POWER:.0%}; {EXAMPLE:g} takes "
            f"{people_needed(EXAMPLE, spread)} people."
        )
    if missing := int(np.isnan(scores.values).sum()):
        lines.append(f"{missing} of {scores.values.size} values are missing; pairs use the people who have both.")
    return lines
