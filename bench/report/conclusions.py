"""What the numbers of a run allow to say, and what not, in words."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from bench.report.comparisons import WORST, Standing
from bench.stats.comparison import Pair

SCOPE = "All of it is about these people, this base, these settings and this judge, and about no other."

FEW = 10
"""Pairs that stay open and are named one by one."""


def conclusions(found: Sequence[Standing]) -> list[str]:
    """Sentences of every attack and of the worst: which cloaks beat their controls, and which pairs stay open."""
    if not found:
        return ["Nothing: there are no two arms of one attack on two people."]
    said: dict[str, list[str]] = {}  # attacks of which the same may be said
    for standing in found:
        said.setdefault(_verdict(standing), []).append(f"{'the ' if standing.attack == WORST else ''}{standing.attack}")
    return [f"Against {', '.join(attacks)}: {verdict}" for verdict, attacks in said.items()] + [SCOPE]


def _verdict(standing: Standing) -> str:
    methods = standing.scores.methods
    may = "; ".join(_better(standing)) or "no arm can be said to leak less than another"
    open_pairs = [f"{methods[p.first]} from {methods[p.second]}" for p in standing.pairs if not p.separable]
    if len(open_pairs) > FEW:
        return f"{may}. Of {len(standing.pairs)} pairs, {len(open_pairs)} are not to be told apart (the letters above)."
    return f"{may}." + (f" Not to be told apart: {'; '.join(open_pairs)}." if open_pairs else "")


def _better(standing: Standing) -> Iterator[str]:
    """Who leaks less than whom; arms of which the same may be said, in one sentence."""
    methods = standing.scores.methods
    beaten: dict[int, set[int]] = {}
    for better, worse in _separated(standing):
        beaten.setdefault(better, set()).add(worse)
    alike: dict[frozenset[int], list[int]] = {}
    for better in sorted(beaten, key=lambda method: (-len(beaten[method]), method)):
        alike.setdefault(frozenset(beaten[better]), []).append(better)
    for losers, winners in alike.items():
        rest = set(range(len(methods))) - losers - set(winners)
        whom = _listed([methods[m] for m in sorted(losers)])
        if len(rest) < len(losers) and len(methods) > 2:
            whom = "all others" + (f" but {_listed([methods[m] for m in sorted(rest)])}" if rest else "")
        verb = "leaks" if len(winners) == 1 else "leak"
        yield f"{_listed([methods[m] for m in winners])} {verb} less than {whom}"


def _listed(names: Sequence[str]) -> str:
    """As in a sentence: a, b and c."""
    return " and ".join([", ".join(names[:-1]), names[-1]] if len(names) > 1 else names)


def _separated(standing: Standing) -> Iterator[tuple[int, int]]:
    """(better, worse) of every pair that can be told apart."""
    for pair in standing.pairs:
        if pair.separable:
            yield _ordered(pair, standing.scores.lower_is_better)


def _ordered(pair: Pair, lower_is_better: bool) -> tuple[int, int]:
    first_is_better = (pair.difference < 0) == lower_is_better
    return (pair.first, pair.second) if first_is_better else (pair.second, pair.first)
