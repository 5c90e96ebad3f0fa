"""What may be said of cloaks: who is compared with whom, and what follows."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.core.types import Array, Interval
from bench.stats.comparison import Pair, Scores, ranking
from bench.stats.rule import Judged, by_name, judge, letters, standing, tiers, verdict

NAMES = ("clean", "noise 8/255", "noise 16/255", "good 8/255", "better 16/255", "idle 8/255", "alone 4/255")


def table(people: int = 12, seed: int = 0) -> Scores:
    """Leaks: two cloaks that work, one that is noise, and one without noise at its budget."""
    rng = np.random.default_rng(seed)
    level = np.array([0.9, 0.85, 0.8, 0.4, 0.1, 0.85, 0.1])
    values = level + rng.normal(0, 0.2, (people, 1)) + rng.normal(0, 0.03, (people, len(NAMES)))
    return Scores(NAMES, tuple(map(str, range(people))), values, True, (-np.inf, np.inf), *by_name(NAMES))


def test_controls_and_noise_are_known_by_their_names() -> None:
    assert by_name(NAMES) == (frozenset({0, 1, 2}), {3: 1, 4: 2, 5: 1})
    assert by_name(("none", "noise", "JPEG", "aspl")) == (frozenset({0, 1, 2}), {3: 1})
    settings = (
        "noise 8/255 (steps 2)",
        "noise 8/255 (steps 9)",
        "a 8/255 (steps 9)",
        "a 8/255 (rounds 3)",
        "noisy 8/255",
    )
    assert by_name(settings) == (frozenset({0, 1}), {2: 1}), "of several only that of the same settings"
    assert by_name(("base", "clean + jpeg", "another person", "b")) == (frozenset({0, 1, 2}), {})


def test_only_what_beats_noise_is_compared_and_ranked() -> None:
    scores = table()
    found = judge(scores)
    assert [(p.first, p.second, p.separable) for p in found.against_noise] == [
        (3, 1, True),
        (4, 2, True),
        (5, 1, False),
    ]
    assert not any(p.two_sided for p in found.against_noise)
    assert found.passed == (3, 4)
    assert [(p.first, p.second, p.separable, p.two_sided) for p in found.pairs] == [(3, 4, True, True)]
    assert tiers(scores, found) == [None, None, None, 2, 1, None, None]
    assert letters(scores, found) == ["", "", "", "b", "a", "", ""]
    said = ["control"] * 3 + ["beats noise"] * 2 + ["not shown", "no noise to compare with"]
    assert [standing(scores, found, number) for number in range(len(NAMES))] == said
    firm = ranking(scores)
    assert firm is not None
    assert len(firm.intervals) == 4, "controls have no rank"


def test_what_is_worse_than_noise_does_not_beat_it() -> None:
    values = np.tile([0.2, 0.9], (9, 1))
    scores = Scores(("noise", "worse"), tuple("abcdefghi"), values, True, (0, 1), *by_name(("noise", "worse")))
    assert judge(scores).passed == ()
    upwards = Scores(("noise", "worse"), tuple("abcdefghi"), values, False, (0, 1), *by_name(("noise", "worse")))
    assert judge(upwards).passed == (1,), "where more is better"


def test_too_few_people_is_not_no_difference() -> None:
    five, four = judge(table(5)), judge(table(4))
    assert [verdict(p) for p in five.against_noise] == ["beats noise", "beats noise", "not shown"]
    assert [verdict(p) for p in five.pairs] == ["undecided: 5 people cannot show it"]
    assert {verdict(p) for p in four.against_noise} == {"undecided: 4 people cannot show it"}
    assert four.passed == ()


def test_without_noise_all_pairs_are_asked_and_nobody_is_said_to_beat_it() -> None:
    values = np.random.default_rng(0).normal([0.1, 0.5, 0.9], 0.1, (12, 3))
    found = judge(
        Scores(("a", "clean", "c"), tuple(map(str, range(12))), values, True, (0, 1), *by_name(("a", "clean", "c")))
    )
    assert (found.against_noise, found.passed) == ([], (0, 2))
    assert [verdict(p) for p in found.pairs] == ["can be told apart"]


def test_a_question_about_one_method_asks_for_its_pairs_alone() -> None:
    scores = table()
    every, some = judge(scores), judge(scores, about=5)
    assert some.against_noise == every.against_noise
    assert some.pairs == [], "it did not pass"
    assert judge(scores, about=3).pairs == every.pairs


# tiers and letters


def flat(values: Array) -> Scores:
    return Scores(tuple("abcdefgh"[: values.shape[1]]), tuple(map(str, range(len(values)))), values, True)


def graph(methods: int, apart: Mapping[tuple[int, int], bool]) -> Judged:
    pairs = [Pair(i, j, 3, float(i - j), Interval(0, 0), 0, float(not far)) for (i, j), far in apart.items()]
    return Judged([], tuple(range(methods)), pairs)


def test_letters_are_shared_exactly_by_the_inseparable() -> None:
    """A chain: neighbours cannot be separated, others can."""
    scores = flat(np.tile(np.arange(4.0), (5, 1)))
    found = graph(4, {(i, j): j - i > 1 for i, j in combinations(range(4), 2)})
    assert letters(scores, found) == ["a", "ab", "bc", "c"]
    assert tiers(scores, found) == [1, 1, 2, 3]


@given(st.integers(2, 7), st.data())
def test_letters_are_the_maximal_cliques_of_any_graph(methods: int, data: st.DataObject) -> None:
    scores = flat(np.tile(np.arange(float(methods)), (3, 1)))
    apart = {(i, j): data.draw(st.booleans()) for i in range(methods) for j in range(i + 1, methods)}
    found = letters(scores, graph(methods, apart))
    assert all(bool(set(found[i]) & set(found[j])) != far for (i, j), far in apart.items())
    groups = {letter: {m for m in range(methods) if letter in found[m]} for letter in set("".join(found))}
    assert sorted(map(sorted, groups.values())) == maximal(methods, {pair for pair, far in apart.items() if not far})


def maximal(methods: int, near: set[tuple[int, int]]) -> list[list[int]]:
    """All sets of methods that are near to each other and to which no other can be added, by trying every set."""
    sets = [set(c) for size in range(1, methods + 1) for c in combinations(range(methods), size)]
    cliques = [group for group in sets if all(pair in near for pair in combinations(sorted(group), 2))]
    return sorted(sorted(group) for group in cliques if not any(group < other for other in cliques))


@pytest.mark.parametrize("reach", [100, 10])
def test_many_methods_that_few_people_cannot_separate(reach: int) -> None:
    """A suite has a hundred arms; with five people nothing separates any of them."""
    methods = 100
    scores = Scores(tuple(map(str, range(methods))), tuple("abc"), np.tile(np.arange(float(methods)), (3, 1)), True)
    found = letters(scores, graph(methods, {(i, j): j - i > reach for i, j in combinations(range(methods), 2)}))
    assert len(set(found)) == 1 if reach == 100 else len(set(found)) > 50
    assert len(found[0]) == 1
