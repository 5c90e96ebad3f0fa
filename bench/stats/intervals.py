"""How sure a figure over people is.

Pictures of a person, and trainings on a person, are averaged first, and whole people are resampled. Resampling inside
people as well would count the spread within them twice (Davison and Hinkley, "Bootstrap Methods and their Application",
1997, section 3.8).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from typing import Literal

import numpy as np
import numpy.typing as npt
from scipy import stats

from bench.core.types import Array, Interval

RESAMPLES = 10_000
FEW = 15
"""Fewer people than this get Student's t instead of the bootstrap, which is too narrow for them."""

Method = Literal["auto", "t", "bca", "percentile"]
Statistic = Callable[[Array], Array]
"""(..., people, columns) -> (...)."""


def mean_interval(
    values: Sequence[float] | Array,
    level: float = 0.95,
    seed: int = 0,
    method: Method = "auto",
    bounds: tuple[float, float] = (-np.inf, np.inf),
) -> Interval:
    """Interval of a mean over people.

    Simulated for 5 to 50 people whose leak is beta-distributed and seen in 16 pictures: percentiles never cover more
    often than BCa, and t covers about as often as BCa, or more, up to 20 people. Where most people leak nothing and few
    leak much, all are too narrow below 50 people. If all values are equal, the interval is that value: it then says
    only that nothing varied.

    Args:
        values: one value per person, at least two.
        level: coverage.
        seed: of the resampling.
        method: "auto" takes t for fewer than 15 people and else BCa.
        bounds: what a mean can be at all; t knows of no bounds, and is cut there.

    Raises:
        ValueError: fewer than two people, or a value that is no number.
    """
    people = np.asarray(values, dtype=np.float64)
    if len(people) < 2:
        raise ValueError("an interval needs at least two people")
    if not np.isfinite(people).all():
        raise ValueError("an interval needs a number for everybody")
    if method == "auto":
        method = "t" if len(people) < FEW else "bca"
    if method == "t":
        half = stats.t.ppf((1 + level) / 2, len(people) - 1) * people.std(ddof=1) / len(people) ** 0.5
        low, high = np.clip([people.mean() - half, people.mean() + half], *bounds)
        return Interval(float(low), float(high))
    return bootstrap_interval(people[:, None], mean, level, seed, method)


def mean(rows: Array) -> Array:
    """The mean over people of the first column."""
    return np.asarray(rows[..., 0].mean(axis=-1))


def bootstrap_interval(
    rows: Array,
    statistic: Statistic,
    level: float = 0.95,
    seed: int = 0,
    method: Literal["bca", "percentile"] = "bca",
) -> Interval:
    """Bootstrap interval of any statistic of people.

    BCa corrects the percentiles for bias and for a spread that depends on the statistic (Efron, "Better bootstrap
    confidence intervals", 1987).

    Args:
        rows: (people, columns); a person's row is drawn as a whole, so that columns stay paired.
        statistic: of (..., people, columns), over the last two axes.
        level: coverage.
        seed: of the resampling.
        method: "bca" or "percentile".
    """
    draws = statistic(rows[resampled(len(rows), seed)])
    tails = np.array([(1 - level) / 2, (1 + level) / 2])
    if method == "bca":
        tails = _corrected(tails, float(statistic(rows)), draws, jackknife(rows, statistic))
    low, high = np.quantile(draws, tails)
    return Interval(float(low), float(high))


@lru_cache(maxsize=4)
def resampled(people: int, seed: int, draws: int = RESAMPLES) -> npt.NDArray[np.intp]:
    """(draws, people) row numbers: people drawn with replacement. The same for every table of as many people."""
    drawn = np.random.default_rng(seed).integers(people, size=(draws, people))
    drawn.flags.writeable = False  # shared by all who ask
    return drawn


def jackknife(rows: Array, statistic: Statistic) -> Array:
    """(people,) the statistic without each person in turn."""
    everyone = np.arange(len(rows))
    return np.array([float(statistic(rows[everyone != left_out])) for left_out in everyone])


def _corrected(tails: Array, found: float, draws: Array, without: Array) -> Array:
    """The quantiles that BCa reads off instead of `tails` (Efron 1987, equations 2.3 and 6.6)."""
    below = np.mean(draws < found) + np.mean(draws == found) / 2  # draws of few people often tie with what was found
    bias = stats.norm.ppf(np.clip(below, 1 / len(draws), 1 - 1 / len(draws)))
    influence = without.mean() - without
    spread = float(np.square(influence).sum())
    acceleration = float((influence**3).sum()) / (6 * spread**1.5) if spread > 0 else 0.0
    moved = bias + stats.norm.ppf(tails)
    return np.asarray(stats.norm.cdf(bias + moved / (1 - acceleration * moved)))
