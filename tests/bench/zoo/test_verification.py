"""The true-accept rate on cases whose answer is known."""

from __future__ import annotations

import numpy as np
import pytest

from bench.core.types import Array
from bench.zoo.verification import at_most, true_accept_rate


def on_circle(*degrees: float) -> Array:
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1)


def test_people_far_apart_are_all_told_apart() -> None:
    assert true_accept_rate(on_circle(0, 5, 90, 95), np.array(["a", "a", "b", "b"])) == 1.0


def test_counts_by_hand() -> None:
    # Pairs of one person: 10 and 50 degrees. Strangers: 25 (10 to 35), 35, 75 and 85 degrees.
    embeddings, people = on_circle(0, 10, 35, 85), np.array(["a", "a", "b", "b"])
    assert true_accept_rate(embeddings, people, 0.0) == 0.5
    assert true_accept_rate(embeddings, people, 0.49) == 0.5  # one of four accepted: the next is at 35
    assert true_accept_rate(embeddings, people, 0.5) == 1.0  # two accepted, the third is at 75


def test_length_and_order_do_not_matter(rng: np.random.Generator) -> None:
    embeddings, people = rng.normal(size=(60, 16)), rng.integers(0, 12, 60)
    order = rng.permutation(60)
    rate = true_accept_rate(embeddings, people, 0.1)
    scaled = (embeddings * rng.uniform(0.1, 10, (60, 1)))[order]
    assert true_accept_rate(scaled, people[order], 0.1) == pytest.approx(rate)


def test_chance_accepts_as_many_friends_as_strangers(rng: np.random.Generator) -> None:
    rate = true_accept_rate(rng.normal(size=(600, 64)), np.arange(600) % 60, 0.1)
    assert rate == pytest.approx(0.1, abs=0.02)


def test_equal_embeddings_are_not_told_apart() -> None:
    assert true_accept_rate(np.ones((6, 3)), np.arange(6) // 2, 0.01) == 0.0


@pytest.mark.parametrize("people", [[0, 1, 2], [0, 0, 0]])
def test_needs_both_kinds_of_pairs(people: list[int]) -> None:
    with pytest.raises(ValueError, match="pairs"):
        true_accept_rate(on_circle(0, 10, 20), np.array(people))


def test_at_most_keeps_everybodys_first_photos_in_order() -> None:
    people = np.array(["b", "a", "b", "b", "c", "a"])
    assert at_most(people, 2).tolist() == [0, 1, 2, 4, 5]
    assert at_most(people, 9).tolist() == [0, 1, 2, 3, 4, 5]
