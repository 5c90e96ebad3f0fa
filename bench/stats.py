"""Statistics over people. The person is the unit: pictures of one person are not independent of each other."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

RESAMPLES = 10_000


def mean_interval(values: Sequence[float], level: float = 0.95, seed: int = 0) -> tuple[float, float]:
    """Percentile bootstrap interval of a mean over people (Efron and Tibshirani 1993, section 13.3).

    Below about ten people it is too narrow, and it cannot leave the range of the values; read it as a warning, not as
    a promise.

    Args:
        values: one value per person, at least two.
        level: coverage.
        seed: of the resampling.

    Raises:
        ValueError: fewer than two people.
    """
    if len(values) < 2:
        raise ValueError("an interval needs at least two people")
    drawn = np.random.default_rng(seed).choice(np.asarray(values), size=(RESAMPLES, len(values)))
    low, high = np.quantile(drawn.mean(axis=1), [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)
