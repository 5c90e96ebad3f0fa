"""How far one set of pictures is from another, as a set: computed on features, never per person."""

from __future__ import annotations

import numpy as np

from bench.types import Array

MIN_FEATURES = 100
"""Fewer pictures than this on either side give a number that is mostly noise."""


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
    return _within(left) + _within(right) - 2 * float(_kernel(left, right).mean())


def _kernel(left: Array, right: Array) -> Array:
    return np.asarray((left @ right.T / left.shape[1] + 1) ** 3)


def _within(features: Array) -> float:
    """Mean kernel over pairs of different rows."""
    kernel, count = _kernel(features, features), len(features)
    return float((kernel.sum() - np.trace(kernel)) / (count * (count - 1)))
