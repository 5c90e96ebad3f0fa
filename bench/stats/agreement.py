"""How far two populations put the same methods in the same order: Kendall's tau, people resampled.

The order of one population says something of another only as far as the two agree. Tau is the share of pairs of
methods that both put the same way minus the share that they put the other way, with ties as in tau-b (Kendall, "The
treatment of ties in ranking problems", 1945).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from bench.core.errors import BenchError
from bench.core.types import Array, Interval
from bench.stats.comparison import Scores
from bench.stats.intervals import resampled

FEWEST = 3
"""Methods; two make one pair, whose tau is 1 or -1 whatever is the case."""


@dataclass(frozen=True)
class Agreement:
    """Of the orders of some methods by their means over two sets of people.

    Attributes:
        methods: those that both have, controls left out.
        people: how many there are of each who have a value of every method.
        tau: from -1, the one order is the other's reverse, to 1, they are the same; NaN where all means are equal.
        interval: 95 % of tau over resamples of the people of both sides. Few people make orders differ that are the
            same, so it reaches lower than the truth does.
        turned: pairs of methods of which the first has the better mean on the one side and the second on the other.
    """

    methods: tuple[str, ...]
    people: tuple[int, int]
    tau: float
    interval: Interval
    turned: list[tuple[str, str]]


def agreement(first: Scores, second: Scores, seed: int = 0) -> Agreement:
    """Compare the orders of two sets of scores.

    Args:
        first, second: scores of the same metric; methods are the same where their names are.
        seed: of the resampling.

    Raises:
        BenchError: they share too few methods, or one side has fewer than two people with a value of each.
    """
    ranked = [{scores.methods[number] for number in scores.ranked} for scores in (first, second)]
    shared = tuple(method for method in first.methods if method in ranked[0] & ranked[1])
    if len(shared) < FEWEST:
        raise BenchError(
            f"The two have {len(shared)} methods in common; an order takes at least {FEWEST}.",
            "Names must be written the same way in both, controls do not count.",
        )
    tables = [scores.complete([scores.methods.index(method) for method in shared]) for scores in (first, second)]
    for scores, table in zip((first, second), tables, strict=True):
        if len(table) < 2:
            raise BenchError(
                f"{len(table)} of {len(scores.people)} people have a value of each of {', '.join(shared)}.",
                "Two are needed on each side.",
            )
    signs = [_signs(table.mean(axis=0)) for table in tables]
    drawn = [_signs(table[resampled(len(table), seed + side)].mean(axis=1)) for side, table in enumerate(tables)]
    taus = _tau(*drawn)
    known = taus[np.isfinite(taus)]
    low, high = np.percentile(known, (2.5, 97.5)) if len(known) else (np.nan, np.nan)
    pairs = zip(*np.triu_indices(len(shared), 1), strict=True)
    turned = [
        (shared[a], shared[b]) if (one > 0) == first.lower_is_better else (shared[b], shared[a])
        for (a, b), one, other in zip(pairs, *signs, strict=True)
        if one * other < 0
    ]
    people = (len(tables[0]), len(tables[1]))
    return Agreement(shared, people, float(_tau(*signs)), Interval(float(low), float(high)), turned)


def _signs(means: Array) -> Array:
    """(..., pairs) of means (..., methods): whether the later of two is larger (1), smaller (-1) or about equal (0)."""
    a, b = np.triu_indices(means.shape[-1], 1)
    return np.asarray(np.sign(np.round(means[..., b] - means[..., a], 12)))


def _tau(first: Array, second: Array) -> Array:
    """Tau-b of signs (..., pairs)."""
    with np.errstate(invalid="ignore"):
        return np.asarray((first * second).sum(-1) / np.sqrt((first**2).sum(-1) * (second**2).sum(-1)))
