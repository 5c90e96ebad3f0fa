"""How much of the person is in the generated pictures.

All functions take `similarity`, (n,) cosines between the n requested pictures and the person's reference, with NaN
where no face was found. A missing face stays in the denominator: dropping it would reward a cloak for the few
pictures that survived (see `specs`: the conditional score of Anti-DreamBooth and its traps).
"""

from __future__ import annotations

import numpy as np

from bench.types import Array

MIN_DETECTED = 5
"""Fewer detected faces than this make a mean over detected faces meaningless."""


def centroid(embeddings: Array) -> Array:
    """Reference of a person: the normalised mean (d,) of L2-normalised embeddings (n, d)."""
    mean = embeddings.mean(axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def fdfr(similarity: Array) -> float:
    """Face detection failure rate, in [0, 1]. Higher: the attack is more disrupted."""
    return float(np.isnan(similarity).mean())


def ism_detected(similarity: Array) -> float | None:
    """Mean similarity of the pictures with a face, in [-1, 1]; None below `MIN_DETECTED` of them.

    Lower is better protection, but never rank by it: it forgets the pictures without a face.
    """
    found = similarity[~np.isnan(similarity)]
    return float(found.mean()) if len(found) >= MIN_DETECTED else None


def ism_zero(similarity: Array) -> float:
    """Mean similarity over all pictures, no face counted as 0, in [-1, 1]. Lower is better protection."""
    return float(np.nan_to_num(similarity, nan=0.0).mean())


def ilr(similarity: Array, threshold: float) -> float:
    """Identity leak rate, in [0, 1]: the share of all pictures with a face that passes for the person.

    Lower is better protection. The threshold is calibrated at a stated false-accept rate on the same data set.
    """
    return float((np.nan_to_num(similarity, nan=-np.inf) >= threshold).mean())
