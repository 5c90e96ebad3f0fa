"""How often the rule of `bench.stats.rule` says what is not so, and how much more it finds than Holm's correction.

    python -m benchmarks.families [results]      # three minutes

First studies in which nothing differs: leak rates of eight cloaks and noise, of 16 pictures a person, or likenesses; in
what share of them does a family find something? Then the same for the second family where the first one decided who is
in it: cloaks alike, half of them near to what noise leaves. Then the runs of `results/`: the same questions by Holm and
by max-T.
"""

from __future__ import annotations

import gzip
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import combinations
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.table import Table
from statsmodels.stats.multitest import multipletests

from bench.core.types import Array
from bench.report.analysis import RunAnalysis
from bench.results.record import Record
from bench.stats.comparison import Pair, compare
from bench.stats.max_t import Tested, max_t
from bench.stats.rule import beside_noise, judge
from bench.stats.variance import ALPHA

CLOAKS, PICTURES = 8, 16
STUDIES = {8: 4000, 12: 3000, 24: 1000}
"""People -> so many."""


def main(arguments: Sequence[str]) -> None:
    """Print both tables."""
    console = Console()
    sizes = Table(title="studies of nothing in which a family finds something (of 5 %: +- 0.7, 0.8, 1.4 by chance)")
    for name in ("scores", "people", "against noise", "by Holm", "pairs", "by Holm", "pairs of those that passed"):
        sizes.add_column(name, justify="right")
    for name, draw in (
        ("leak rates, mean 0.5", rates(0.5)),
        ("leak rates, mean 0.1", rates(0.1)),
        ("likeness", likeness),
    ):
        for people, studies in STUDIES.items():
            sizes.add_row(name, str(people), *(f"{share:.1%}" for share in size(draw, people, studies)))
    console.print(sizes)
    power = Table(title="questions of the reference runs that are answered: by Holm, by max-T, of so many")
    for name in ("run", "attack", "people", "beat noise", "pairs of cloaks", "pairs of those that beat noise"):
        power.add_column(name, justify="left" if name in ("run", "attack") else "right")
    for row in found(Path(arguments[0] if arguments else "results")):
        power.add_row(*row)
    console.print(power)


Draw = Callable[[np.random.Generator, int, Array], Array]
"""Scores (people, methods) of so many people, of methods whose scores are shifted by so much."""


def rates(mean: float) -> Draw:
    """Leak rates: a person's own is beta-distributed, differs between trainings, and is seen in some pictures."""

    def draw(rng: np.random.Generator, people: int, shifts: Array) -> Array:
        own = rng.beta(2 * mean, 2 * (1 - mean), (people, 1))
        odds = np.log(own + 1e-6) - np.log(1 - own + 1e-6) + rng.normal(0, 0.7, (people, len(shifts)))
        rate = np.clip(1 / (1 + np.exp(-odds)) + shifts, 0, 1)
        return np.asarray(rng.binomial(PICTURES, rate) / PICTURES)

    return draw


def likeness(rng: np.random.Generator, people: int, shifts: Array) -> Array:
    """From strangers, 0, to the person, 1."""
    return np.clip(rng.normal(0.5, 0.2, (people, 1)) + shifts + rng.normal(0, 0.1, (people, len(shifts))), 0, 1)


def size(draw: Draw, people: int, studies: int) -> tuple[float, ...]:
    """Shares of studies in which something is found: family 1, family 2 of all cloaks, each also by Holm; family 2."""
    rng, hits = np.random.default_rng(people), np.zeros(5)
    # Of cloaks whose numbers are both odd or both even, none leaves less than the other.
    nothing, alike = np.zeros(1 + CLOAKS), np.array([0.25, *[0.0, 0.1] * (CLOAKS // 2)])
    for _ in range(studies):
        scores = draw(rng, people, nothing)
        hits[:2] += answered(max_t(scores[:, :1] - scores[:, 1:], two_sided=False))
        hits[2:4] += answered(max_t(differences(scores, range(1, 1 + CLOAKS))))
        scores = draw(rng, people, alike)
        passed = 1 + np.flatnonzero(max_t(scores[:, :1] - scores[:, 1:], two_sided=False).adjusted < ALPHA)
        wrong = [(a - b) % 2 == 0 for a, b in combinations(passed, 2)]
        hits[4] += bool((max_t(differences(scores, passed)).adjusted[wrong] < ALPHA).any())
    return tuple(hits / studies)


def differences(scores: Array, methods: Iterable[int]) -> Array:
    """(people, pairs) of some methods."""
    columns = [scores[:, a] - scores[:, b] for a, b in combinations(methods, 2)]
    return np.array(columns).reshape(len(columns), len(scores)).T


def answered(tested: Tested) -> tuple[bool, bool]:
    """Whether any question of a family is, by max-T and by Holm."""
    return bool((tested.adjusted < ALPHA).any()), bool(multipletests(tested.p, ALPHA, "holm")[0].any())


def holm(family: Sequence[Pair]) -> int:
    """How many questions are answered by Holm's correction."""
    return int(multipletests([pair.p for pair in family], ALPHA, "holm")[0].sum()) if family else 0


def found(folder: Path) -> Iterator[list[str]]:
    """A row for every run and attack, and for all of them."""
    total = np.zeros((3, 3), int)
    for file in sorted(folder.glob("*/records.jsonl.gz")):
        with gzip.open(file, "rt", encoding="utf-8") as lines:
            records = [Record.model_validate_json(line) for line in lines]
        for attack, scores in RunAnalysis(records).scores.items():
            families = [beside_noise(scores), compare(scores, combinations(scores.ranked, 2)), judge(scores).pairs]
            counts = np.array([(holm(f), sum(pair.separable for pair in f), len(f)) for f in families])
            total += counts
            yield [file.parent.name, attack, str(len(scores.people)), *(f"{a}, {b} of {c}" for a, b, c in counts)]
    yield ["all", "", "", *(f"{a}, {b} of {c}" for a, b, c in total)]


if __name__ == "__main__":
    main(sys.argv[1:])
