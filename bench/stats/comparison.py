"""Methods compared: paired differences and their tests, and how firm the order is.

All methods are compared on the same people, and on the same noise where the benchmark made the scores, so that
differences are taken person by person. Which comparisons are made, and what may be said after them, is in `rule`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations
from typing import TypeVar

import numpy as np

from bench.core.types import Array, Interval
from bench.stats.intervals import mean_interval, resampled
from bench.stats.max_t import least_p, max_t
from bench.stats.variance import ALPHA


@dataclass(frozen=True)
class Scores:
    """One metric of several methods on the same people.

    Attributes:
        methods: their names.
        people: who they were tried on.
        values: (people, methods); NaN where a method was not tried, or has no value.
        lower_is_better: direction of the metric.
        bounds: what it can be at all.
        controls: numbers of the methods that are none, but lines to read the others by.
        noise: method -> noise at its budget, by number, of the methods that are compared with it.
    """

    methods: tuple[str, ...]
    people: tuple[str, ...]
    values: Array
    lower_is_better: bool
    bounds: tuple[float, float] = (-np.inf, np.inf)
    controls: frozenset[int] = frozenset()
    noise: Mapping[int, int] = field(default_factory=dict)

    @property
    def ranked(self) -> tuple[int, ...]:
        """Numbers of the methods that are no controls."""
        return tuple(number for number in range(len(self.methods)) if number not in self.controls)

    def means(self) -> Array:
        """(methods,) means over the people that each was tried on."""
        return np.asarray(np.nanmean(self.values, axis=0))

    def complete(self, methods: Sequence[int] | None = None) -> Array:
        """(n, methods) the people with a value of each of some methods, by number; by default of the ranked ones."""
        values = self.values[:, list(self.ranked if methods is None else methods)]
        return np.asarray(values[~np.isnan(values).any(axis=1)])

    def order(self) -> list[int]:
        """Methods, best mean first; equal means in the order given."""
        means = self.means()
        return list(np.argsort(means if self.lower_is_better else -means, kind="stable"))


@dataclass(frozen=True)
class Pair:
    """Two methods compared on the people that both were tried on.

    Attributes:
        first, second: numbers of the methods.
        people: how many have both.
        difference: mean of first - second.
        interval: its 95 % interval, of this pair alone.
        p: of the sign-flip test of no difference.
        adjusted: the same for all pairs of its family together.
        two_sided: whether either may turn out better; else only the first.
    """

    first: int
    second: int
    people: int
    difference: float
    interval: Interval
    p: float
    adjusted: float
    two_sided: bool = True

    @property
    def separable(self) -> bool:
        """Whether the two can be told apart, all pairs of the family considered."""
        return self.adjusted < ALPHA

    @property
    def undecided(self) -> bool:
        """Whether so few people cannot show a difference, however large."""
        return least_p(self.people, self.two_sided) >= ALPHA


def compare(
    scores: Scores, among: Iterable[tuple[int, int]] | None = None, two_sided: bool = True, seed: int = 0
) -> list[Pair]:
    """A family of pairs, those of fewer than two common people left out.

    Args:
        scores: of the methods.
        among: the pairs of numbers of methods; none: all that there are. Fewer questions need fewer people: declare
            them before you look.
        two_sided: else it is only asked whether the first of a pair is better.
        seed: of random sign flips.
    """
    asked = combinations(range(len(scores.methods)), 2) if among is None else among
    differences = {(a, b): scores.values[:, a] - scores.values[:, b] for a, b in asked}
    differences = {pair: column for pair, column in differences.items() if np.isfinite(column).sum() > 1}
    if not differences:
        return []
    gains = np.stack(list(differences.values()), axis=1) * (-1 if scores.lower_is_better else 1)
    tested, found = max_t(gains, two_sided, seed), []
    for (pair, column), p, adjusted in zip(differences.items(), *tested, strict=True):
        known = column[np.isfinite(column)]
        mean, interval = float(known.mean()), mean_interval(known)
        found.append(Pair(*pair, len(known), mean, interval, float(p), float(adjusted), two_sided))
    return found


K = TypeVar("K")


def adjusted(differences: Mapping[K, Mapping[str, float]], two_sided: bool = True) -> dict[K, float]:
    """Question -> p, adjusted for all of them together, of differences by person; without questions to fewer than two.

    Args:
        differences: question -> person -> difference.
        two_sided: else only positive differences count.
    """
    asked = {question: by_person for question, by_person in differences.items() if len(by_person) > 1}
    people = list(dict.fromkeys(person for by_person in asked.values() for person in by_person))
    table = [[by_person.get(person, np.nan) for by_person in asked.values()] for person in people]
    tested = max_t(np.array(table).reshape(len(people), len(asked)), two_sided)
    return dict(zip(asked, tested.adjusted.tolist(), strict=True))


def better(scores: Scores, pair: Pair) -> tuple[int, int]:
    """The numbers of a pair's methods, that with the better mean first."""
    first = (pair.difference < 0) == scores.lower_is_better
    return (pair.first, pair.second) if first else (pair.second, pair.first)


@dataclass(frozen=True)
class Ranking:
    """How firm the order of the ranked methods is, over resamples of the people who have a value of each.

    Attributes:
        people: how many have.
        intervals: (low, high) of every ranked method's rank, 1 the best; ties share the mean of their ranks.
        first: share of the resamples in which a method has the best mean, shared by those that tie.
        reproduced: share of the resamples in which the whole order of the means comes out the same.
    """

    people: int
    intervals: list[Interval]
    first: list[float]
    reproduced: float


def _ranks(values: Array) -> Array:
    """(..., m) ranks along the last axis, 1 for the least; those that are equal share the mean of theirs."""
    columns = np.moveaxis(values, -1, 0)[..., None]
    return np.stack([(values < one).sum(-1) + ((values == one).sum(-1) + 1) / 2 for one in columns], axis=-1)


def ranking(scores: Scores, level: float = 0.95, seed: int = 0) -> Ranking | None:
    """Rank intervals and the stability of the order; None with fewer than two complete people or ranked methods."""
    complete = scores.complete()
    if min(complete.shape) < 2:
        return None
    signed = complete if scores.lower_is_better else -complete
    means = signed[resampled(len(signed), seed)].mean(axis=1)
    ranks = _ranks(means.round(12))  # sums in another order differ in the last digits
    low, high = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=0)
    best = ranks == ranks.min(axis=1, keepdims=True)
    same = (ranks == _ranks(signed.mean(axis=0).round(12))).all(axis=1)
    return Ranking(
        people=len(complete),
        intervals=[Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)],
        first=[float(share) for share in (best / best.sum(axis=1, keepdims=True)).mean(axis=0)],
        reproduced=float(same.mean()),
    )


def worst_attack(halves: Array, lower_is_better: bool) -> Array:
    """(...) the score of the worst of several attacks, chosen by one half of the pictures and scored by the other.

    Both ways, averaged. The highest of several noisy scores is too high by its noise, the more attacks the more; what
    was chosen by other pictures is not. Equal halves give the highest score itself.

    Args:
        halves: (2, attacks, ...) scores by either half, of each person and method: the attacker chooses per person.
        lower_is_better: direction of the metric.

    Returns:
        NaN where any attack has no value: an attack that was not tried is not one that was survived.
    """
    chosen = (halves if lower_is_better else -halves).argmax(axis=1)
    scored = np.take_along_axis(halves[::-1], chosen[:, None], axis=1)[:, 0].mean(axis=0)
    return np.where(np.isnan(halves).any(axis=(0, 1)), np.nan, scored)
