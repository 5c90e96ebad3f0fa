"""How far arms are from the clean arm as distributions: KID and Frechet distance of features of their pictures.

Pictures of all people are pooled; no distance is ever computed for one person.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from bench.core import numbered
from bench.core.errors import BenchError
from bench.core.types import Array, Interval
from bench.evaluation.instrument import described
from bench.results.arms import Arm
from bench.results.relative import arm_setting
from bench.store import Store
from metrics.distribution import People, frechet, kid, kid_interval
from metrics.features import Features


class Described(NamedTuple):
    """(n, d) features of all pictures of an arm, and (n,) whose they are."""

    features: Array
    people: People


@dataclass(frozen=True)
class Distance:
    """Of an arm to the clean arm; None where there are too few pictures, or people for an interval.

    Attributes:
        arm: its label.
        pictures: how many it has.
        kid, interval, frechet: see `metrics.distribution`.
    """

    arm: str
    pictures: int
    kid: float | None
    interval: Interval | None
    frechet: float | None


def distances(arms: Sequence[Arm], store: Store, network: Features) -> list[Distance] | None:
    """Of every arm of one attack to the clean arm made under the same conditions; None if there is no clean arm.

    Raises:
        BenchError: the store no longer has the pictures.
    """
    clean = {
        arm_setting(arm.records[0]): _features(arm, store, network)
        for arm in arms
        if arm.records[0].defense.name == "none"
    }
    others = [arm for arm in arms if arm.records[0].defense.name != "none" and arm_setting(arm.records[0]) in clean]
    if not clean:
        return None
    return [_distance(arm.label, _features(arm, store, network), clean[arm_setting(arm.records[0])]) for arm in others]


def _features(arm: Arm, store: Store, network: Features) -> Described:
    found, people = [], []
    for record in arm.records:
        key = record.stages["generate"].key
        if store.cost("generate", key) is None:
            raise BenchError(f"The store has no pictures of {record.identity}.", "Give the store of the run: --store.")
        pictures = numbered.load(store.path("generate", key), len(record.images))
        found.append(described(store, key, pictures, network)["features"])
        people += [record.identity] * len(pictures)
    return Described(np.concatenate(found), np.array(people))


def _distance(arm: str, left: Described, right: Described) -> Distance:
    value = interval = pooled = None
    with contextlib.suppress(ValueError):  # too few
        value = kid(left.features, right.features)
        interval = kid_interval(left.features, right.features, left.people, right.people)
    with contextlib.suppress(ValueError):
        pooled = frechet(left.features, right.features)
    return Distance(arm, len(left.features), value, interval, pooled)
