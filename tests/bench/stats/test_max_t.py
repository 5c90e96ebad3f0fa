"""Step-down max-T, against a textbook written out, scipy, and by simulation."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from bench.core.types import Array
from bench.stats.max_t import FLIPS, fewest_people, least_p, max_t


def textbook(differences: Array, two_sided: bool) -> list[float]:
    """Adjusted p by the definition: Student's t of every flip, one question after the other, the largest t first.

    Westfall and Young (1993), algorithm 4.1: the p of a question is the share of flips whose largest t, over this
    question and all with a smaller t, reaches its t; and no p is smaller than that of a question before it.
    """

    def student(column: Array) -> float:
        known = column[~np.isnan(column)]
        if not known.any():
            return 0.0
        root = known.std(ddof=1) / len(known) ** 0.5
        t = known.mean() / root if root > 1e-12 else np.sign(known.mean()) * 1e12
        return round(float(abs(t) if two_sided else t), 6)

    seen = [student(column) for column in differences.T]
    order = sorted(range(len(seen)), key=lambda question: -seen[question])
    flips = [
        [student(column * np.array(signs)) for column in differences.T]
        for signs in product((1, -1), repeat=len(differences))
    ]
    found, highest = [0.0] * len(seen), 0.0
    for place, question in enumerate(order):
        reached = sum(max(drawn[rest] for rest in order[place:]) >= seen[question] for drawn in flips)
        highest = max(highest, reached / len(flips))
        found[question] = highest
    return found


@pytest.mark.parametrize("two_sided", [True, False])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_it_is_the_textbook(seed: int, two_sided: bool) -> None:
    """Questions that go together, of unequal size, on unequal scales, one with ties and one that is answered by all."""
    rng = np.random.default_rng(seed)
    common = rng.normal(size=(7, 1))
    differences = common + rng.normal([0, 0.8, 1.5, 0, 0.3], 0.7, (7, 5))
    differences *= [1, 100, 0.01, 1, 1]
    differences[:, 3] = 0.5
    differences[:, 4] = differences[:, 4].round()
    assert max_t(differences, two_sided).adjusted == pytest.approx(textbook(differences, two_sided))


@pytest.mark.parametrize("two_sided", [True, False])
def test_one_question_is_scipys(two_sided: bool) -> None:
    differences = np.random.default_rng(1).normal(0.4, 0.5, 10)
    alternative = "two-sided" if two_sided else "greater"
    wanted = stats.permutation_test(
        (differences,), np.mean, permutation_type="samples", n_resamples=2**10, alternative=alternative
    )
    found = max_t(differences[:, None], two_sided)
    assert found.p == pytest.approx(wanted.pvalue)
    assert found.adjusted == pytest.approx(wanted.pvalue)


def test_random_flips_come_near_the_exact_ones() -> None:
    """Fourteen people are exact; a fifteenth, who hardly differs, makes it random, and p at most a little larger."""
    differences = np.random.default_rng(0).normal([0.1, 0.3, 0.6], 0.6, (14, 3))
    more = np.vstack([differences, [1e-7] * 3])
    exact, drawn = max_t(differences), max_t(more)
    assert drawn.adjusted == pytest.approx(exact.adjusted, abs=0.01)
    assert max_t(np.ones((40, 1))).p == pytest.approx(1 / (FLIPS + 1))
    assert max_t(more, seed=0).adjusted.tolist() == drawn.adjusted.tolist()


def test_many_people_come_near_the_t_test() -> None:
    differences = np.random.default_rng(0).normal(0.15, 0.5, 60)
    assert max_t(differences[:, None]).p == pytest.approx(stats.ttest_1samp(differences, 0).pvalue, abs=0.01)


@settings(max_examples=40)
@given(st.integers(2, 9), st.integers(1, 4), st.booleans(), st.integers(0, 10**6))
def test_adjusting_never_helps_and_scale_order_and_copies_do_not_matter(
    people: int, questions: int, two_sided: bool, seed: int
) -> None:
    rng = np.random.default_rng(seed)
    differences = rng.integers(-3, 4, (people, questions)).astype(float)
    found, order = max_t(differences, two_sided), rng.permutation(questions)
    assert (found.adjusted >= found.p).all()
    assert (found.p >= least_p(people, two_sided)).all()
    assert max_t(differences[:, order] * 7, two_sided).adjusted == pytest.approx(found.adjusted[order])
    twice = max_t(np.hstack([differences, differences]), two_sided).adjusted
    assert twice == pytest.approx([*found.adjusted, *found.adjusted]), "asked twice is asked once"


def test_people_who_were_not_asked_say_nothing() -> None:
    differences = np.random.default_rng(0).normal(0.4, 0.5, (12, 2))
    lacking = differences.copy()
    lacking[:4, 0] = np.nan
    alone = max_t(differences[4:, :1])
    assert max_t(lacking).p[0] == pytest.approx(alone.p[0])
    assert max_t(np.where(np.arange(12)[:, None] < 4, np.nan, differences)).adjusted == pytest.approx(
        max_t(differences[4:]).adjusted
    )


def test_nothing_differs_and_nobody_is_there() -> None:
    assert max_t(np.zeros((8, 2))).adjusted.tolist() == [1, 1]
    assert max_t(np.zeros((80, 2)), two_sided=False).p.tolist() == [1, 1]
    assert max_t(np.full((3, 1), np.nan)).p.tolist() == [1]
    assert max_t(np.empty((5, 0))).adjusted.tolist() == []


def test_so_few_people_can_never_show_anything() -> None:
    assert max_t(np.ones((5, 3))).adjusted.tolist() == [2 / 2**5] * 3
    assert max_t(np.ones((5, 3)), two_sided=False).adjusted.tolist() == [1 / 2**5] * 3
    assert [least_p(5), least_p(5, two_sided=False)] == [2 / 2**5, 1 / 2**5]
    assert [fewest_people(), fewest_people(two_sided=False)] == [6, 5]


def test_one_method_stands_out_from_forty() -> None:
    values = np.random.default_rng(0).normal(0.5, 0.05, (40, 40))
    values[:, 0] -= 0.3
    first, second = np.triu_indices(40, 1)
    apart = max_t(values[:, first] - values[:, second]).adjusted < 0.05
    assert set(first[apart]) == {0}
    assert apart.sum() == 39


def test_in_a_family_where_nothing_differs_something_is_found_in_one_study_of_twenty() -> None:
    """600 studies of 10 people and 6 questions that share a control: 5 % +- 1.8 % by chance alone."""
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(600):
        values = rng.normal(size=(10, 7))
        wrong += bool((max_t(values[:, :1] - values[:, 1:], two_sided=False).adjusted < 0.05).any())
    assert 0.03 <= wrong / 600 <= 0.07
