"""What the numbers of a run allow to say, and what not, in words: the rule of `bench.stats.rule`, read out."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.report.comparisons import WORST, AttackComparison
from bench.stats.comparison import better
from bench.stats.rule import has_noise, standing, verdict

SCOPE = "All of it is about these people, this base, these settings and this judge, and about no other."

FEW = 10
"""Pairs that stay open and are named one by one."""


def conclusions(found: Sequence[AttackComparison]) -> list[str]:
    """Sentences of every attack and of the worst: which cloaks beat noise, and which of these can be told apart."""
    if not found:
        return ["Nothing: there are no two arms of one attack on two people."]
    said: dict[str, list[str]] = {}  # attacks of which the same may be said
    for each in found:
        said.setdefault(" ".join(_said(each)), []).append(f"{'the ' if each.attack == WORST else ''}{each.attack}")
    return [f"Against {', '.join(attacks)}: {words}" for words, attacks in said.items()] + [SCOPE]


def _said(found: AttackComparison) -> Iterator[str]:
    """A sentence on noise, one on who leaves less than whom, and one on what stays open."""
    yield _sentence(_beside_noise(found))
    methods, judged = found.scores.methods, found.judged
    if len(judged.passed) > 1:
        yield _sentence(list(_less(found)) or ["none of these is shown to leave less than another"])
    open_pairs: dict[str, list[str]] = {}
    for pair in judged.pairs:
        if not pair.separable:
            open_pairs.setdefault(verdict(pair), []).append(f"{methods[pair.first]} from {methods[pair.second]}")
    for reason, pairs in open_pairs.items():
        why = "" if reason == "not shown" else f"; {reason.removeprefix('undecided: ')}"
        if len(pairs) > FEW:
            yield f"Of {len(judged.pairs)} pairs, {len(pairs)} are not to be told apart (the letters above{why})."
        else:
            yield f"Not to be told apart{f' ({why[2:]})' if why else ''}: {'; '.join(pairs)}."


def _beside_noise(found: AttackComparison) -> list[str]:
    """What is said of cloaks beside noise, those of which the same may be said together."""
    scores, judged = found.scores, found.judged
    if not scores.ranked:
        return ["there is no cloak"]
    if not has_noise(scores):
        return ["there is no noise to compare with, so nothing shows that a cloak does more than noise"]
    said: dict[str, list[str]] = {}
    for number in scores.ranked:
        said.setdefault(standing(scores, judged, number), []).append(scores.methods[number])
    return [_noise_words(words, names) for words, names in said.items()]


def _noise_words(words: str, names: Sequence[str]) -> str:
    one = len(names) == 1
    if words == "beats noise":
        return f"{_listed(names)} {words if one else 'beat noise'}"
    if words == "not shown":
        return f"{_listed(names)} {'is' if one else 'are'} not shown to beat noise"
    if words.startswith("undecided"):
        return f"whether {_listed(names)} {'beats' if one else 'beat'} noise is {words}"
    return f"{_listed(names)} {'has' if one else 'have'} {words}"


def _less(found: AttackComparison) -> Iterator[str]:
    """Who leaves less than whom; cloaks of which the same may be said, in one sentence."""
    methods, passed = found.scores.methods, set(found.judged.passed)
    beaten: dict[int, set[int]] = {}
    for pair in found.judged.pairs:
        if pair.separable:
            winner, loser = better(found.scores, pair)
            beaten.setdefault(winner, set()).add(loser)
    alike: dict[frozenset[int], list[int]] = {}
    for winner in sorted(beaten, key=lambda method: (-len(beaten[method]), method)):
        alike.setdefault(frozenset(beaten[winner]), []).append(winner)
    for losers, winners in alike.items():
        rest = passed - losers - set(winners)
        whom = _listed([methods[m] for m in sorted(losers)])
        if len(rest) < len(losers) and len(passed) > 2:
            whom = "all others of these" + (f" but {_listed([methods[m] for m in sorted(rest)])}" if rest else "")
        verb = "leaves" if len(winners) == 1 else "leave"
        yield f"{_listed([methods[m] for m in winners])} {verb} less than {whom}"


def _sentence(parts: Sequence[str]) -> str:
    return "; ".join(parts) + "."


def _listed(names: Sequence[str]) -> str:
    """As in a sentence: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)
