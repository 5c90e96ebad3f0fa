"""The metrics that the board can be read by; `metrics.METRICS` says what they are."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from bench.stats.rule import SCORE
from metrics import METRICS

SCALE = 10_000
"""Values are sent to the page as whole multiples of 1 / SCALE."""
HALVES = ("even", "odd")
"""Likeness by either half of a cell's pictures: what an attack is chosen by, and what it is scored by."""
NAMES = {
    "likeness": (
        "likeness",
        "Likeness of generated pictures to the person: 0 a stranger, 1 their own clean photos",
    ),
    "ilr": ("identity leak rate", "Share of the generated pictures in which a judge recognises the person"),
    "ilr_matched": ("leak rate among look-alikes", "The leak rate at thresholds that few people alike reach"),
    "any_leak@4": ("leak in any of 4 pictures", "Chance that a judge recognises the person in one of four pictures"),
    "ism_zero": ("similarity, no face as 0", "Mean cosine of the generated pictures to the person, 0 where is no face"),
    "fdfr": ("no face found", "Share of the generated pictures in which no face is found"),
    "false_leak": ("false leaks", "How often generated pictures pass for other people of the data set"),
}
"""Metric -> its name on the page, and what it is. All are bounded: a score is drawn on the scale of what it can be."""


@dataclass(frozen=True)
class Measure:
    """A metric of one cell.

    Attributes:
        key: its name in records.
        name: its name on the page.
        lower: whether lower is better for the person who is to be protected.
        low, high: what it can be.
        brief: what it is, in the few words of the first screen.
        text: the same exactly, and its pitfall.
    """

    key: str
    name: str
    lower: bool
    low: float
    high: float
    brief: str
    text: str

    def facts(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


def _measure(key: str, name: str, brief: str) -> Measure:
    metric = METRICS.get(key)
    sentences = [part[0].upper() + part[1:] + "." for part in (metric.definition, metric.pitfalls) if part]
    return Measure(key, name, metric.lower_is_better, *metric.range, brief, text=" ".join(sentences))


MEASURES = tuple(_measure(key, *NAMES[key]) for key in sorted(NAMES, key=lambda key: key != SCORE))
"""That by which cloaks are compared comes first."""
