"""Several questions to the same people at once: sign flips, and the step-down max-T procedure over them.

Westfall and Young, "Resampling-Based Multiple Testing", 1993, algorithm 4.1, with flips of signs over people. All of a
person's differences are flipped together, so that questions that go together do not count as many: so it finds more
than Holm's correction does. The chance that any question of a family is answered wrongly stays below the level.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from bench.core.types import Array
from bench.stats.variance import ALPHA

EXACT = 14
"""Up to so many people, all ways to flip the signs are tried; for more, `FLIPS` at random."""
FLIPS = 20_000
"""A p of 0.05 is then known to 0.0015."""
BLOCK = 2_000
"""So many flips at once: a dozen MB for the 780 pairs of 40 methods."""
NEAR = 1e-9
"""Sums in another order differ in the last digits; equal ones must count as equal."""


class Tested(NamedTuple):
    """Of every question: (questions,) p of it alone, and adjusted for all questions of its family."""

    p: Array
    adjusted: Array


def max_t(differences: Array, two_sided: bool = True, seed: int = 0) -> Tested:
    """Test the hypotheses that differences are as likely positive as negative, all of them together.

    The statistic of a question is the sum of its differences over the root of their sum of squares, which no flip
    changes: its SD under flips is 1, whatever the scale, and of as many people it orders flips as Student's t does.
    Differences that are all 0 have the statistic 0, those that are all equal the largest that there is.

    Up to 14 people who differ at all, p are exact. Of random flips, what was seen counts as one (Phipson and Smyth,
    "Permutation p-values should never be zero", 2010): (hits + 1) / (flips + 1).

    Args:
        differences: (people, questions); NaN where a person does not count for a question.
        two_sided: else only positive differences count against the hypothesis.
        seed: of random flips, the same for all questions.
    """
    filled = np.nan_to_num(np.asarray(differences, dtype=np.float64))  # of 0, the sign makes no difference
    filled = filled[filled.any(axis=1)]
    spread = np.sqrt(np.square(filled).sum(axis=0))
    scaled = np.divide(filled, spread, out=np.zeros_like(filled), where=spread > 0)
    seen = _sided(scaled.sum(axis=0), two_sided)
    order = np.argsort(seen, kind="stable")  # the smallest first, so that maxima run over what is not rejected yet
    least = seen[order] - NEAR
    alone, stepped, tried = np.zeros(len(order)), np.zeros(len(order)), 0
    for signs in _flips(len(filled), seed):
        drawn = _sided(signs @ scaled[:, order], two_sided)
        alone += (drawn >= least).sum(axis=0)
        stepped += (np.maximum.accumulate(drawn, axis=1) >= least).sum(axis=0)
        tried += len(signs)
    seen_too = len(filled) > EXACT
    p, adjusted = np.empty(len(order)), np.empty(len(order))
    p[order] = (alone + seen_too) / (tried + seen_too)
    largest_first = (stepped[::-1] + seen_too) / (tried + seen_too)
    adjusted[order[::-1]] = np.maximum.accumulate(largest_first)
    return Tested(p, adjusted)


def least_p(people: int, two_sided: bool = True) -> float:
    """The smallest p that so many people can give, in any family: all of them agree."""
    return float((2 if two_sided else 1) / 2**people)


def fewest_people(two_sided: bool = True) -> int:
    """How many people it takes at least to show anything: 6, or 5 if only one direction is asked for."""
    return next(people for people in range(1, 99) if least_p(people, two_sided) < ALPHA)


def _sided(statistics: Array, two_sided: bool) -> Array:
    return np.abs(statistics) if two_sided else statistics


def _flips(people: int, seed: int) -> Iterator[Array]:
    """(at most BLOCK, people) signs at a time: all there are for up to `EXACT` people, else `FLIPS` at random."""
    generator, exact = np.random.default_rng(seed), people <= EXACT
    total = 2**people if exact else FLIPS
    for start in range(0, total, BLOCK):
        count = min(BLOCK, total - start)
        if exact:
            flipped = (np.arange(start, start + count)[:, None] >> np.arange(people)) & 1
        else:
            flipped = generator.integers(2, size=(count, people), dtype=np.int8)
        yield np.where(flipped, -1.0, 1.0)
