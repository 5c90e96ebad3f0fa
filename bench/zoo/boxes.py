"""When a face counts as found, and which of several is meant."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.core.types import Array
from bench.models.faces.mtcnn import Detection

FOUND = 0.4
"""Overlap (intersection over union) with the true box from which a face counts as found."""


def overlap(left: Array, right: Array) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    size = np.clip(np.minimum(left[2:], right[2:]) - np.maximum(left[:2], right[:2]), 0, None)
    shared = size.prod()
    return float(shared / ((left[2:] - left[:2]).prod() + (right[2:] - right[:2]).prod() - shared))


def largest(faces: Sequence[Detection]) -> Detection:
    """The face with the largest box, of at least one."""
    return max(faces, key=lambda face: float(np.prod(face.box[2:] - face.box[:2])))
