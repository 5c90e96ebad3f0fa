"""The leak threshold: the similarity that a stranger's photo reaches at the stated false-accept rate.

A threshold taken from another data set is wrong by a wide margin (people of one data set resemble each other more, or
less), so it is calibrated on the data set's own strangers: every person's reference against all photos of all others.
With few people of one's own, the shipped synthetic people serve as additional strangers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from bench.core.errors import BenchError
from bench.core.types import Array

MIN_PAIRS = 100
"""Below this many pairs, a 1 % quantile is decided by a single photo."""


@dataclass(frozen=True)
class Threshold:
    """A calibrated threshold.

    Attributes:
        value: cosine at or above which a face passes for the person.
        far: the false-accept rate it was set for.
        pairs: impostor pairs it was set on.
    """

    value: float
    far: float
    pairs: int


def calibrate(references: Mapping[str, Array], photos: Mapping[str, Array], far: float, strangers: Array) -> Threshold:
    """Set the threshold just above the (1 - far) quantile: at most a share `far` of the impostors reach it.

    Args:
        references: person -> reference (d,).
        photos: person -> embeddings (n, d) of all their clean photos.
        far: false-accept rate.
        strangers: (m, d) embeddings of people outside the data set, used only where it has too few pairs of its own.

    Raises:
        BenchError: not enough strangers to calibrate on.
    """
    own = [photos[other] @ references[name] for name in references for other in photos if other != name]
    scores = np.concatenate([*own, np.empty(0)])
    if len(scores) < MIN_PAIRS:
        scores = np.concatenate([scores, *(strangers @ reference for reference in references.values())])
    if len(scores) < MIN_PAIRS:
        raise BenchError(
            f"Only {len(scores)} impostor pairs to calibrate the leak threshold on, {MIN_PAIRS} are needed.",
            "Add more people (or photos) to the data set.",
        )
    ranked = np.sort(scores)[::-1]
    allowed = int(far * len(scores))  # impostors that may pass; the next one must not
    return Threshold(float(np.nextafter(ranked[allowed], np.inf)), far, len(scores))
