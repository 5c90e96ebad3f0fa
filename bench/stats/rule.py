"""The one rule for what may be said of cloaks: which comparisons are made, and what follows from them.

1. Every cloak against noise at its budget, asked in one direction: does it leave less?
2. All pairs of the cloaks that do, asked in both.

Each is a family of `max_t`: the chance of any wrong answer in it is below 5 %. Controls (clean photos, noise, JPEG,
placebos) are lines to read the others by, and have no rank. Where no noise was tried, 2 is asked of all cloaks, and
none of them is said to protect.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from bench.stats.comparison import Pair, Scores, better, compare

SCORE = "likeness"
"""The metric by which cloaks are compared and put in order, wherever a report or a board does so.

Its paired differences spread half as wide as those of ILR, which stands beside it as the figure to read."""
CONTROLS = ("none", "noise", "jpeg", "placebo")
"""Defenses that are no cloaks of this person."""
BESIDE = ("clean", "base", "another person")
"""What else tables call a row that is no cloak."""


@dataclass(frozen=True)
class Judged:
    """What the rule says of some methods.

    Attributes:
        against_noise: family 1, each with the cloak first.
        passed: numbers of the methods that beat noise; of all that are ranked, where there is no noise.
        pairs: family 2.
    """

    against_noise: list[Pair]
    passed: tuple[int, ...]
    pairs: list[Pair]


def judge(scores: Scores, about: int | None = None) -> Judged:
    """Ask both families.

    Args:
        scores: of the methods, with their `controls` and their `noise`.
        about: ask family 2 of the pairs with this method alone. Declare it before you look.
    """
    against_noise = beside_noise(scores)
    beat = {pair.first for pair in against_noise if pair.separable}
    passed = tuple(number for number in scores.ranked if number in beat or not has_noise(scores))
    asked = [pair for pair in combinations(passed, 2) if about is None or about in pair]
    return Judged(against_noise, passed, compare(scores, asked))


def beside_noise(scores: Scores) -> list[Pair]:
    """Family 1: every cloak, and noise at its budget."""
    return compare(scores, scores.noise.items(), two_sided=False)


def has_noise(scores: Scores) -> bool:
    """Whether noise was tried at all."""
    return any(method_name(scores.methods[number]) == "noise" for number in scores.controls)


def verdict(pair: Pair) -> str:
    """What may be said of a pair: "beats noise", "can be told apart", "not shown", or that nothing could be."""
    if pair.separable:
        return "can be told apart" if pair.two_sided else "beats noise"
    return f"undecided: {pair.people} people cannot show it" if pair.undecided else "not shown"


def standing(scores: Scores, judged: Judged, method: int) -> str:
    """The same of a method beside noise: a control, or without noise at its budget, too."""
    if method in scores.controls:
        return "control"
    return next((verdict(pair) for pair in judged.against_noise if pair.first == method), "no noise to compare with")


def tiers(scores: Scores, judged: Judged) -> list[int | None]:
    """The tier of every method: 1 plus how many methods are separably better than it; None if it did not pass.

    Methods of tier 1 are beaten by nobody. Two methods of one tier may still be separable (a chain of small steps can
    hide a large one): `letters` says exactly which are not.
    """
    beaten = [better(scores, pair)[1] for pair in judged.pairs if pair.separable]
    return [1 + beaten.count(number) if number in judged.passed else None for number in range(len(scores.methods))]


def letters(scores: Scores, judged: Judged) -> list[str]:
    """Group letters of every method that passed: two share one exactly if they cannot be separated.

    The groups are the maximal cliques of the graph of inseparable pairs, named from the best on (the compact letter
    display of Piepho 2004). Pairs that were never compared count as inseparable.
    """
    import networkx  # not at the top: most runs compare nothing

    apart = {frozenset((p.first, p.second)) for p in judged.pairs if p.separable}
    order = [method for method in scores.order() if method in judged.passed]
    alike = networkx.Graph((a, b) for a, b in combinations(order, 2) if frozenset((a, b)) not in apart)
    alike.add_nodes_from(order)
    place = {method: i for i, method in enumerate(order)}
    groups = sorted(networkx.find_cliques(alike), key=lambda group: sorted(place[method] for method in group))
    found = [""] * len(scores.methods)
    for number, group in enumerate(groups):
        for method in group:
            found[method] += _letter(number)
    return found


def _letter(number: int) -> str:
    return chr(ord("a") + number) if number < 26 else f"({number + 1})"


def by_name(methods: Sequence[str]) -> tuple[frozenset[int], dict[int, int]]:
    """`controls` and `noise` of a table that says nothing but names: "clean", "noise 8/255", "aspl 8/255 (steps 20)".

    Noise of the very same settings counts; else the only noise of that budget; else none.
    """
    controls = frozenset(i for i, method in enumerate(methods) if method_name(method) in (*CONTROLS, *BESIDE))
    noises = [i for i in controls if method_name(methods[i]) == "noise"]
    noise = {}
    for number in sorted(set(range(len(methods))) - controls):
        alike = [i for i in noises if _budget(methods[i]) == _budget(methods[number])]
        same = [i for i in alike if _settings(methods[i]) == _settings(methods[number])]
        if fits := same if len(same) == 1 else alike if len(alike) == 1 else []:
            noise[number] = fits[0]
    return controls, noise


def method_name(label: str) -> str:
    """The name alone: "noise" of "noise 8/255 (steps 2)", "clean" of "clean + jpeg"."""
    return re.split(r" [\d.]+/255| \(|(?<=^clean) \+ ", label)[0].casefold()


def _budget(label: str) -> str:
    return found[1] if (found := re.search(r" ([\d.]+)/255", label)) else ""


def _settings(label: str) -> str:
    return label.partition(" (")[2]
