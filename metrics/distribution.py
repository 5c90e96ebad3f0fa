"""How far one set of pictures is from another, as a set: computed on features, never per person."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import numpy.typing as npt

from bench.core.types import Array, Interval
from metrics.metric import Metric

People = npt.NDArray[Any]

MIN_FEATURES = 100
"""Fewer pictures than this on either side give a number that is mostly noise."""
MIN_FRECHET = 2048
"""Below it, the Frechet distance mostly measures the sample size: a covariance of 2,048 features needs as many."""


def kid(left: Array, right: Array) -> float:
    """Kernel distance: the unbiased squared MMD with the kernel (x.y / d + 1)^3 (Binkowski et al. 2018, eq. 4).

    It is 0 on average for two samples of one distribution, and may be slightly negative. The value depends on the
    features: name them beside it.

    Args:
        left: (n, d) features.
        right: (m, d) features.

    Raises:
        ValueError: fewer than `MIN_FEATURES` rows on either side.
    """
    if min(len(left), len(right)) < MIN_FEATURES:
        raise ValueError(f"KID needs at least {MIN_FEATURES} pictures on each side, not {len(left)} and {len(right)}")
    return _mmd(left, right)


def kid_interval(left: Array, right: Array, people_left: People, people_right: People, level: float = 0.95) -> Interval:
    """Interval of `kid` over people: Student's t of the jackknife (Arvesen, "Jackknifing U-statistics", 1969).

    A bootstrap would not do: a person drawn twice is nearer to itself than to anybody, and all draws are too large.

    Args:
        left: (n, d) features.
        right: (m, d) features.
        people_left: (n,) names or numbers of the person of every row, who is left out on both sides at once.
        people_right: (m,).
        level: coverage.

    Raises:
        ValueError: fewer than three people, or as `kid`.
    """
    from scipy import stats

    found, people = kid(left, right), np.union1d(people_left, people_right)
    count = len(people)
    if count < 3:
        raise ValueError(f"an interval of KID needs at least three people, not {count}")
    without = np.array([_mmd(left[people_left != p], right[people_right != p]) for p in people])
    error = float(np.sqrt((count - 1) / count * np.square(without - without.mean()).sum()))
    half = float(stats.t.ppf((1 + level) / 2, count - 1)) * error
    return Interval(found - half, found + half)


def frechet(left: Array, right: Array) -> float:
    """Frechet distance of Gaussians fitted to features (Heusel et al. 2017, eq. 6), 0 for equal ones.

    Of pooled pictures, never of one person's: it grows as samples get smaller, whatever they show.

    Args:
        left: (n, d) features.
        right: (m, d) features; n and m at least `MIN_FRECHET`, and more than d.

    Raises:
        ValueError: too few rows on either side.
    """
    least = max(MIN_FRECHET, left.shape[1] + 1)
    if min(len(left), len(right)) < least:
        raise ValueError(
            f"a Frechet distance of {left.shape[1]} features needs at least {least} pictures on each side, not "
            f"{len(left)} and {len(right)}; take KID"
        )
    gap = left.mean(axis=0) - right.mean(axis=0)
    a, b = np.atleast_2d(np.cov(left, rowvar=False)), np.atleast_2d(np.cov(right, rowvar=False))
    # tr sqrt(A B) is the sum of the roots of the eigenvalues of sqrt(A) B sqrt(A), which is symmetric.
    values, vectors = np.linalg.eigh(a)
    root = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    shared = np.sqrt(np.maximum(np.linalg.eigvalsh(root @ b @ root), 0)).sum()
    return float(gap @ gap + np.trace(a) + np.trace(b) - 2 * shared)


def _mmd(left: Array, right: Array) -> float:
    return _within(left) + _within(right) - 2 * float(_kernel(left, right).mean())


def _kernel(left: Array, right: Array) -> Array:
    return np.asarray((left @ right.T / left.shape[1] + 1) ** 3)


def _within(features: Array) -> float:
    """Mean kernel over pairs of different rows."""
    kernel, count = _kernel(features, features), len(features)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))


KID = Metric(
    "distribution",
    "higher",
    (-math.inf, math.inf),
    "kernel distance to the clean arm's pictures (Binkowski 2018): unbiased squared MMD with the cubic kernel",
    needs="a feature network, whose name belongs beside the number",
    pitfalls="two extractors give two metrics",
)
FRECHET = Metric(
    "distribution",
    "higher",
    (0.0, math.inf),
    "Frechet distance to the clean arm's pictures (Heusel 2017), of 2,048 and more on each side",
    needs="a feature network, whose name belongs beside the number",
    pitfalls="biased upwards by small samples; cannot rank cloaks even with 50 people",
    also=("FID",),
)
