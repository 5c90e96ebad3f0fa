"""Which methods can be told apart: paired differences, tests, tiers, and how firm the order is.

All methods are compared on the same people, and on the same noise where the benchmark made the scores, so that
differences are taken person by person. What cannot be separated shares a tier; an order within a tier is chance.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from scipy import stats

from bench.core.types import Array, Interval
from bench.stats.intervals import mean_interval, resampled
from bench.stats.variance import ALPHA

EXACT = 14
"""Up to so many people, all ways to flip the signs are tried; for more, `FLIPS` at random."""
FLIPS = 100_000
"""The smallest p is 1 in so many, which Holm multiplies by the pairs: 10,000 could separate none of 36 methods."""
BLOCK = 2_000
"""So many flips at once: a dozen MB for the 780 pairs of 40 methods."""


@dataclass(frozen=True)
class Scores:
    """One metric of several methods on the same people.

    Attributes:
        methods: their names.
        people: who they were tried on.
        values: (people, methods); NaN where a method was not tried, or has no value.
        lower_is_better: direction of the metric.
        bounds: what it can be at all.
    """

    methods: tuple[str, ...]
    people: tuple[str, ...]
    values: Array
    lower_is_better: bool
    bounds: tuple[float, float] = (-np.inf, np.inf)

    def means(self) -> Array:
        """(methods,) means over the people that each was tried on."""
        return np.asarray(np.nanmean(self.values, axis=0))

    def complete(self) -> Array:
        """(n, methods) the people with a value of every method."""
        return np.asarray(self.values[~np.isnan(self.values).any(axis=1)])

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
        adjusted: the same after Holm's correction for all pairs.
    """

    first: int
    second: int
    people: int
    difference: float
    interval: Interval
    p: float
    adjusted: float

    @property
    def separable(self) -> bool:
        """Whether the two can be told apart, all pairs considered."""
        return self.adjusted < ALPHA


def compare(scores: Scores, seed: int = 0, against: int | None = None) -> list[Pair]:
    """All pairs of methods, those of fewer than two common people left out.

    Args:
        scores: of the methods.
        seed: of random sign flips.
        against: only pairs with this method, a control say. Fewer questions need fewer people; ask before you look.
    """
    pairs = [pair for pair in combinations(range(len(scores.methods)), 2) if against is None or against in pair]
    differences = {(a, b): scores.values[:, a] - scores.values[:, b] for a, b in pairs}
    differences = {pair: column for pair, column in differences.items() if np.isfinite(column).sum() > 1}
    if not differences:
        return []
    p = sign_flip(np.stack(list(differences.values()), axis=1), seed)
    found = []
    for (pair, column), raw, adjusted in zip(differences.items(), p, holm(p), strict=True):
        known = column[np.isfinite(column)]
        found.append(Pair(*pair, len(known), float(known.mean()), mean_interval(known), float(raw), float(adjusted)))
    return found


def sign_flip(differences: Array, seed: int = 0) -> Array:
    """Two-sided p of the hypothesis that differences are as likely positive as negative.

    The sum is compared with the sums after flipping the sign of each person's differences: in all ways for up to 14
    people, else in 100,000 random ones, where what was found counts as one of them (Phipson and Smyth, "Permutation
    p-values should never be zero", 2010).

    Args:
        differences: (people, questions); NaN where a person was not asked.
        seed: of random flips, the same for all questions.

    Returns:
        (questions,) p.
    """
    known = np.nan_to_num(differences)  # of 0, the sign makes no difference
    people, found = len(known), np.abs(known.sum(axis=0))
    hits, tried = np.zeros(known.shape[1]), 0
    for signs in _flips(people, seed):
        # Sums in another order differ in the last digits; equal ones must count as equal.
        hits += (np.abs(signs @ known) >= found * (1 - 1e-9) - 1e-15 * people).sum(axis=0)
        tried += len(signs)
    return hits / tried if people <= EXACT else (hits + 1) / (tried + 1)


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


def fewest_people(pairs: int) -> int:
    """How many people it takes at least until the sign-flip test can separate one of so many pairs after Holm.

    If all people agree, p is 2 / 2^n: with 5 people it is 1/16, and 5 people can never separate two methods.
    """
    people = 2
    while pairs and 2 / 2**people * pairs >= ALPHA:
        people += 1
    return people


def holm(p: Sequence[float] | Array) -> Array:
    """Adjusted p-values: below alpha where Holm's step-down procedure rejects at that level (Holm 1979)."""
    values = np.asarray(p, dtype=np.float64)
    order = np.argsort(values)
    stepped = values[order] * np.arange(len(values), 0, -1)
    adjusted = np.empty_like(values)
    adjusted[order] = np.minimum(np.maximum.accumulate(stepped), 1.0) if len(values) else stepped
    return adjusted


def tiers(scores: Scores, pairs: Sequence[Pair]) -> list[int]:
    """The tier of every method: 1 plus how many methods are separably better than it.

    Methods of tier 1 are beaten by nobody. Two methods of one tier may still be separable (a chain of small steps can
    hide a large one): `letters` says exactly which are not.
    """
    beaten = [0] * len(scores.methods)
    for pair in pairs:
        if pair.separable:
            first_is_better = (pair.difference < 0) == scores.lower_is_better
            beaten[pair.second if first_is_better else pair.first] += 1
    return [1 + count for count in beaten]


def letters(scores: Scores, pairs: Sequence[Pair]) -> list[str]:
    """Group letters of every method: two methods share one exactly if they cannot be separated.

    The groups are the maximal cliques of the graph of inseparable pairs, named from the best on (the compact letter
    display of Piepho 2004). Pairs that were never compared count as inseparable.
    """
    import networkx  # not at the top: most runs compare nothing

    apart = {frozenset((p.first, p.second)) for p in pairs if p.separable}
    order = scores.order()
    alike = networkx.Graph((a, b) for a, b in combinations(order, 2) if frozenset((a, b)) not in apart)
    alike.add_nodes_from(order)
    place = {method: i for i, method in enumerate(order)}
    groups = sorted(networkx.find_cliques(alike), key=lambda group: sorted(place[method] for method in group))
    found = [""] * len(order)
    for number, group in enumerate(groups):
        for method in group:
            found[method] += _letter(number)
    return found


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"({number + 1})"


@dataclass(frozen=True)
class Ranking:
    """How firm an order is, over resamples of the people who have a value of every method.

    Attributes:
        people: how many have.
        intervals: (low, high) of every method's rank, 1 the best; ties share the mean of their ranks.
        first: share of the resamples in which a method has the best mean, shared by those that tie.
        reproduced: share of the resamples in which the whole order of the means comes out the same.
    """

    people: int
    intervals: list[Interval]
    first: list[float]
    reproduced: float


def ranking(scores: Scores, level: float = 0.95, seed: int = 0) -> Ranking | None:
    """Rank intervals and the stability of the order; None with fewer than two complete people."""
    complete = scores.complete()
    if len(complete) < 2:
        return None
    signed = complete if scores.lower_is_better else -complete
    means = signed[resampled(len(signed), seed)].mean(axis=1)
    ranks = stats.rankdata(means.round(12), axis=1)  # sums in another order differ in the last digits
    low, high = np.quantile(ranks, [(1 - level) / 2, (1 + level) / 2], axis=0)
    best = ranks == ranks.min(axis=1, keepdims=True)
    same = (ranks == stats.rankdata(signed.mean(axis=0).round(12))).all(axis=1)
    return Ranking(
        people=len(complete),
        intervals=[Interval(float(a), float(b)) for a, b in zip(low, high, strict=True)],
        first=[float(share) for share in (best / best.sum(axis=1, keepdims=True)).mean(axis=0)],
        reproduced=float(same.mean()),
    )


def worst_attack(values: Array, lower_is_better: bool) -> Array:
    """(people, methods) each person's worst attack, of (attacks, people, methods): the attacker chooses per person.

    NaN where any attack has no value: an attack that was not tried is not one that was survived.
    """
    return np.asarray(values.max(axis=0) if lower_is_better else values.min(axis=0))
