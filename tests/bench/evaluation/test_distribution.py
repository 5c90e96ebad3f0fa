"""Distances of arms to the clean arm, of the pictures of all people pooled."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from bench.core import numbered
from bench.core.errors import BenchError
from bench.core.types import Array, Pixels
from bench.evaluation.distribution import distances
from bench.report.comparisons import by_attack
from bench.results.record import Record
from bench.store import Store
from metrics.distribution import MIN_FEATURES, kid, kid_interval
from metrics.features import Features
from tests.support.records import FULL, record

PEOPLE = ("ann", "bob", "cy")
EACH = MIN_FEATURES // len(PEOPLE) + 1


class Means(Features):
    """Describes a picture by the means of its channels."""

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        return {"features": np.array([picture.mean(axis=(0, 1)) / 255 for picture in pictures])}


NETWORK = Means("means", "1", lambda pictures: pictures)


def cell(store: Store, defense: str, person: str, level: int) -> Record:
    """A record whose pictures, about as bright as `level`, are in the store."""
    key = f"{defense}{person}{level}"
    random = np.random.default_rng(PEOPLE.index(person))
    pictures = [random.integers(level, level + 50, (2, 2, 3)).astype(np.uint8) for _ in range(EACH)]
    store.compute("generate", key, partial(numbered.save, pictures=pictures))
    image = FULL["images"][0]
    return record(
        cell=key,
        identity=person,
        defense={"name": defense, "budget": 8.0, "config": {}},
        stages={"generate": FULL["stages"]["fit"] | {"key": key}},
        images=[image | {"image": number} for number in range(EACH)],
    )


def test_an_arm_is_compared_with_the_clean_one(tmp_path: Path) -> None:
    store = Store(tmp_path)
    levels = {"none": 0, "same": 0, "aspl": 200}
    records = [cell(store, defense, person, level) for defense, level in levels.items() for person in PEOPLE]
    (arms,) = by_attack(records).values()
    found = {distance.arm.partition(" ")[0]: distance for distance in distances(arms, store, NETWORK) or []}
    same, far = found["same"], found["aspl"]
    assert (same.pictures, same.frechet) == (EACH * 3, None)  # too few for a Frechet distance
    assert far.kid is not None
    assert same.kid is not None
    assert abs(same.kid) < 0.01 < far.kid
    assert far.interval is not None
    assert far.interval.low < far.kid < far.interval.high

    features = {
        defense: np.concatenate([pictures_of(store, defense, person, level) for person in PEOPLE])
        for defense, level in levels.items()
    }
    people = np.repeat(PEOPLE, EACH)
    assert far.kid == pytest.approx(kid(features["aspl"], features["none"]))
    assert far.interval == kid_interval(features["aspl"], features["none"], people, people)


def pictures_of(store: Store, defense: str, person: str, level: int) -> Array:
    return NETWORK.describe(numbered.load(store.path("generate", f"{defense}{person}{level}")))["features"]


def test_too_few_pictures_have_no_distance_and_no_clean_arm_has_none_at_all(tmp_path: Path) -> None:
    store = Store(tmp_path)
    clean, cloaked = cell(store, "none", "ann", 0), cell(store, "aspl", "ann", 0)
    (arms,) = by_attack([clean, cloaked]).values()
    (distance,) = distances(arms, store, NETWORK) or []
    assert (distance.kid, distance.interval, distance.frechet) == (None, None, None)
    (arms,) = by_attack([cloaked]).values()
    assert distances(arms, store, NETWORK) is None


def test_pictures_that_the_store_lost_are_told(tmp_path: Path) -> None:
    (arms,) = by_attack([cell(Store(tmp_path / "a"), "none", "ann", 0)]).values()
    with pytest.raises(BenchError, match="no pictures of ann"):
        distances(arms, Store(tmp_path / "b"), NETWORK)
