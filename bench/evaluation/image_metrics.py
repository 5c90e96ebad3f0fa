"""What scores pictures without knowing who is on them: visibility of cloaks, and quality of generated pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.code_version import code_version
from bench.core.errors import BenchError, reason_of
from bench.core.hashing import hash_of, sha256_array
from bench.core.registry import source_of
from bench.core.types import Array, Pixels
from metrics import METRICS, iqa

ROUNDING = 1e-6
"""By which a value may be beyond its range; it is cut there."""


def measured(topic: str) -> tuple[str, ...]:
    """The built-in metrics of a topic that are functions: they need no weights."""
    return tuple(name for name, metric in METRICS.of(topic).items() if metric.measure and METRICS.is_builtin(name))


@dataclass(frozen=True)
class Comparison:
    """Scores of cloaked photos beside the clean ones, photo by photo: (n,) each, NaN where there is none.

    Attributes:
        names: metrics of visibility.
        clean: the photos before.
        device: tells where pyiqa computes.
    """

    names: tuple[str, ...]
    clean: tuple[Pixels, ...]
    device: Callable[[], str] = lambda: "cpu"

    @property
    def fingerprint(self) -> str:
        return hash_of([[_version(name) for name in self.names], [sha256_array(photo) for photo in self.clean]])

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        return {name: self._scores(name, pictures) for name in self.names}

    def _scores(self, name: str, cloaked: Sequence[Pixels]) -> Array:
        if METRICS.get(name).measure is None:
            return iqa.distance(name, self.clean, cloaked, self.device())
        return np.array([_value(name, a, b) for a, b in zip(self.clean, cloaked, strict=True)])


@dataclass(frozen=True)
class Quality:
    """A score of each picture: (n,), NaN where there is none.

    Attributes:
        name: a metric of quality.
        device: tells where pyiqa computes.
    """

    name: str
    device: Callable[[], str] = lambda: "cpu"

    @property
    def fingerprint(self) -> str:
        return hash_of([_version(self.name)])

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        if METRICS.get(self.name).measure is None:
            return {self.name: iqa.score(self.name, pictures, self.device())}
        return {self.name: np.array([_value(self.name, picture) for picture in pictures])}


def _version(name: str) -> list[str]:
    """What a score depends on besides the pictures: the code of a function, or pyiqa's version."""
    measure = METRICS.get(name).measure
    return [name, code_version(measure) if measure else iqa.fingerprint(name)]


def _value(name: str, *pictures: Pixels) -> float:
    """A metric of one picture, or of a photo before and after; NaN if it has none.

    Raises:
        BenchError: the function failed, or its value is not in the range that it declares.
    """
    metric = METRICS.get(name)
    assert metric.measure
    try:
        value = metric.measure(*pictures)
        number = np.nan if value is None else float(value)
    except Exception as error:  # of a function that may be anybody's
        raise BenchError(
            f"The metric {name!r} failed: {reason_of(error)}", f"It is in {source_of(metric.measure)}."
        ) from error
    low, high = metric.range
    if np.isnan(number):
        return number
    if not low - ROUNDING <= number <= high + ROUNDING:
        raise BenchError(
            f"The metric {name!r} is {number:g}, and declares that it is in [{low:g}, {high:g}].",
            f"Change one of them, in {source_of(metric.measure)}.",
        )
    return min(max(number, low), high)
