"""How well a recogniser tells people apart: one standard figure, from embeddings and names."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from bench.core.types import Array


def true_accept_rate(embeddings: Array, people: npt.NDArray[np.generic], false_accepts: float = 0.01) -> float:
    """The share of pairs of one person that are accepted when at most `false_accepts` of the pairs of strangers are.

    All pairs of photos count, by cosine. Equal cosines are accepted or refused together.

    Args:
        embeddings: (n, d), of any length but 0.
        people: (n,) who is on each photo.
        false_accepts: in [0, 1).

    Raises:
        ValueError: there is no pair of one person, or none of strangers.
    """
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    first, second = np.triu_indices(len(unit), k=1)
    cosines = (unit @ unit.T)[first, second]
    same = people[first] == people[second]
    if not same.any() or same.all():
        raise ValueError("a rate needs pairs of one person and pairs of strangers")
    strangers = np.sort(cosines[~same])[::-1]
    threshold = strangers[int(false_accepts * len(strangers))]
    return float((cosines[same] > threshold).mean())


def at_most(people: npt.NDArray[np.generic], count: int) -> npt.NDArray[np.intp]:
    """Which photos to compare so that nobody has more than `count`: rows, in order, of everybody's first photos.

    Pairs grow with the square of a person's photos; one person of LFW has 530, and would decide the rate alone.
    """
    order = np.argsort(people, kind="stable")
    _, starts, counts = np.unique(people[order], return_index=True, return_counts=True)
    rank = np.arange(len(people)) - np.repeat(starts, counts)
    return np.sort(order[rank < count])
