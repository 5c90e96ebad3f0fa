"""When a face counts as found."""

from __future__ import annotations

import numpy as np

from bench.core.types import Array

FOUND = 0.4
"""Overlap (intersection over union) with the true box from which a face counts as found."""


def overlap(left: Array, right: Array) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    size = np.clip(np.minimum(left[2:], right[2:]) - np.maximum(left[:2], right[:2]), 0, None)
    shared = size.prod()
    return float(shared / ((left[2:] - left[:2]).prod() + (right[2:] - right[:2]).prod() - shared))
