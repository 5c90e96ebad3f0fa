"""Which of a record's pictures pass for the person, from what it says of every single one: by either protocol.

Protocol 2: a picture leaks if any of the judges recognises the person, each at a threshold of that person's own.
Protocol 1, of records before version 0.2: by dlib alone, at one threshold for a data set.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from bench.core.types import Array
from bench.results.record import ImageFacts, Record
from metrics import identity
from metrics.identity import Leaks, passing, recognised


def judges_of(record: Record) -> tuple[str, ...]:
    """Whose similarities a record holds; nobody's in protocol 1, which has one judge and does not name it."""
    return tuple(record.images[0].similarities) if record.images else ()


def is_measured(record: Record) -> bool:
    """Whether a record has pictures, and the thresholds that say which of them leak."""
    names = [f"ilr.{judge}" for judge in judges_of(record)] or ["ilr"]
    return bool(record.images) and set(names) <= record.thresholds.keys()


def leak_rule(thresholds: Mapping[str, float]) -> str:
    """When a picture passes for the person, in words, from what a record states."""
    judges = [name.partition(".")[2] for name in thresholds if name.startswith("own.")]
    if judges and "far" in thresholds:
        each = thresholds["far"] / len(judges)
        return f"{' or '.join(judges)} recognises the person, each as {each:.1%} of the world's faces would pass"
    if not {"ilr", "far", "pairs"} <= thresholds.keys():
        return "by a rule that the records do not state"
    far, pairs = thresholds["far"], thresholds["pairs"]
    return f"judge: similarity >= {thresholds['ilr']:.2f}, where {far:.1%} of strangers pass, {pairs:.0f} pairs"


def leaks(record: Record, rule: str = "ilr") -> Leaks:
    """(n,) which pictures of a measured record leak.

    Args:
        record: see `is_measured`.
        rule: `ilr`, of strangers of the world; or `ilr_matched`, of those most like the person, which protocol 1 lacks.
    """
    judges = judges_of(record)
    if not judges:
        return passing(as_array([image.similarity for image in record.images]), record.thresholds[rule])
    cosines = {judge: similarity(record.images, judge) for judge in judges}
    return recognised(cosines, {judge: record.thresholds[f"{rule}.{judge}"] for judge in judges})


def likeness(record: Record) -> float | None:
    """Mean over pictures of `likeness_of_pictures`; None if there is none."""
    values = likeness_of_pictures(record)
    return None if values is None else float(values.mean())


def likeness_of_pictures(record: Record) -> Array | None:
    """(n,) mean of the judges' similarities on each one's scale; None if a record's thresholds do not state the scales.

    Protocol 1 does not state them.
    """
    judges, stated = judges_of(record), record.thresholds
    if not all(f"{end}.{judge}" in stated for end in ("stranger", "own") for judge in judges):
        return None
    strangers, own = ({judge: stated[f"{end}.{judge}"] for judge in judges} for end in ("stranger", "own"))
    return identity.likeness({judge: similarity(record.images, judge) for judge in judges}, strangers, own)


class InHalves(NamedTuple):
    """A score by all pictures, and by either half of them."""

    whole: float
    even: float
    odd: float


def likeness_in_halves(record: Record) -> InHalves | None:
    """Likeness by all pictures and by either half of each prompt's (of all prompts', where each has one picture).

    What is chosen by one half can be scored by the other, whose chance had no part in the choice. Where the pictures
    cannot be parted, both halves are the whole; None without likeness.
    """
    if (whole := record.metric("likeness")) is None:
        return None
    values, odd = likeness_of_pictures(record), _odd(record)
    if values is None or not can_be_parted(record):
        return InHalves(whole, whole, whole)
    return InHalves(whole, float(values[~odd].mean()), float(values[odd].mean()))


def can_be_parted(record: Record) -> bool:
    """Whether a record has several pictures, and states what likeness is made of: those of protocol 1 do not."""
    return len({*_odd(record).tolist()}) == 2 and likeness_of_pictures(record) is not None


def _odd(record: Record) -> Leaks:
    """(n,) which pictures make up the odd half."""
    return np.array([(image.prompt + image.image) % 2 == 1 for image in record.images], dtype=np.bool_)


def similarity(images: Sequence[ImageFacts], judge: str) -> Array:
    """(n,) a judge's similarities of pictures; NaN without a face."""
    return as_array([image.similarities[judge] for image in images])


def as_array(values: Sequence[float | None]) -> Array:
    """(n,) with NaN for None."""
    return np.array([np.nan if value is None else value for value in values], dtype=np.float64)
