"""Who is on the photos: what is wrong is named, what is only hard is not, whatever recogniser looks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest

from bench.core.types import Array
from bench.evaluation.label_noise import Sighting, doubts

DIMENSIONS = 64
NOBODY = np.empty((0, DIMENSIONS))
Folder = dict[str, list[Sighting]]


def unit(vectors: Array) -> Array:
    normed: Array = vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)
    return normed


def faces(person: int, count: int, seed: int = 0, spread: float = 0.5) -> Array:
    """(count, d) embeddings around the direction of a person; `spread` is the length of what else is on the photos."""
    centre = unit(np.random.default_rng(person).normal(size=DIMENSIONS))
    noise = np.random.default_rng([person, seed]).normal(size=(count, DIMENSIONS)) / DIMENSIONS**0.5
    return unit(centre + spread * noise)


def sightings(name: str, embeddings: Array, parts: str = "AAAABBBBCCCC") -> list[Sighting]:
    pairs = zip(parts, embeddings, strict=True)
    return [Sighting(f"{name}/set_{part}/{i}.jpg", part, face[None]) for i, (part, face) in enumerate(pairs)]


def people(count: int = 5, spread: float = 0.5) -> Folder:
    return {f"p{i}": sightings(f"p{i}", faces(i, 12, spread=spread)) for i in range(count)}


def show(folder: Folder, name: str, index: int, *seen: Array) -> None:
    """Put other faces on a photo, the largest first."""
    old = folder[name][index]
    folder[name][index] = Sighting(old.place, old.part, np.array(seen))


def said_of(folder: Folder, strangers: Array = NOBODY) -> list[str]:
    return doubts(folder, strangers, 0.01)


@pytest.mark.parametrize("spread", [0.2, 0.5, 0.9])
@pytest.mark.parametrize("count", [2, 3, 20])
def test_nothing_is_said_of_photos_that_are_right(count: int, spread: float) -> None:
    assert said_of(people(count, spread), np.concatenate([faces(100 + i, 12) for i in range(10)])) == []


@pytest.mark.parametrize("index", [0, 5, 11])
def test_a_photo_of_somebody_else_is_named_with_its_similarity_and_the_threshold(index: int) -> None:
    folder = people()
    show(folder, "p1", index, faces(99, 1)[0])
    (said,) = said_of(folder)
    assert said.startswith(f"{folder['p1'][index].place} may not show p1")
    assert "1% of strangers reach 0." in said


def test_who_it_is_is_said_if_the_photo_is_of_one_of_the_people() -> None:
    folder = people()
    show(folder, "p1", 6, faces(3, 1, seed=7)[0])
    (said,) = said_of(folder)
    assert said.startswith("p1/set_B/6.jpg")
    assert "It looks like p3 (0." in said


@pytest.mark.parametrize("part", ["A", "B", "C"])
def test_a_whole_set_of_somebody_else_is_noticed(part: str) -> None:
    folder = people()
    wrong = [i for i, sighting in enumerate(folder["p1"]) if sighting.part == part]
    for index, face in zip(wrong, faces(99, 4), strict=True):
        show(folder, "p1", index, face)
    named = {line.split()[0] for line in said_of(folder)}
    assert named >= {folder["p1"][index].place for index in wrong}
    assert all(place.startswith("p1/") for place in named)


def test_without_a_third_set_all_photos_are_doubted_for_nobody_knows_which_set_is_right() -> None:
    folder = people()
    folder["p1"] = sightings("p1", np.concatenate([faces(1, 4), faces(99, 4)]), "AAAABBBB")
    assert len(said_of(folder)) == 8


def test_a_larger_second_face_is_told_and_a_smaller_one_is_not() -> None:
    folder = people()
    own, other = folder["p2"][3].faces[0], faces(99, 1)[0]
    show(folder, "p2", 3, own, other)
    assert said_of(folder) == []
    show(folder, "p2", 3, other, own)
    (said,) = said_of(folder)
    assert said.startswith("p2/set_A/3.jpg: its largest face does not look like p2")
    assert "a smaller face does" in said


@pytest.mark.parametrize("others", [0, 1, 4])
def test_one_person_under_two_names_is_noticed_and_spoils_nothing_else(others: int) -> None:
    folder = people(others)
    for name, seed in (("ann", 1), ("anna", 2)):
        folder[name] = sightings(name, faces(50, 12, seed))
    strangers = np.concatenate([faces(100 + i, 12) for i in range(10)])
    (said,) = said_of(folder, strangers)
    assert said.startswith("ann and anna may be one person")


@pytest.mark.parametrize("others", [0, 1, 4])
def test_one_person_under_two_names_is_noticed_years_later_too(others: int) -> None:
    """Photos of one name differ from those of the other, and less from each other: they are no measure of strangers."""
    folder = people(others, spread=0.2)
    young = faces(50, 24, spread=0.2)
    folder["ann"] = sightings("ann", young[:12])
    folder["anna"] = sightings("anna", unit(young[12:] + 0.35 * faces(51, 1, spread=0)))
    strangers = np.concatenate([faces(100 + i, 12) for i in range(10)])
    (said,) = said_of(folder, strangers)
    assert said.startswith("ann and anna may be one person")


def test_a_hard_photo_of_the_right_person_is_not_doubted() -> None:
    folder = people()
    hard = unit(0.75 * faces(1, 1, seed=3)[0] + faces(99, 1)[0] * 0.66)
    show(folder, "p1", 6, hard)
    assert said_of(folder) == []


def test_photos_without_a_face_and_people_with_too_few_are_passed_over() -> None:
    folder = people()
    folder["p0"][4] = Sighting("p0/set_B/4.jpg", "B", NOBODY)
    folder["few"] = sightings("few", faces(60, 3), "ABC")
    folder["empty"] = []
    assert said_of(folder) == []
    assert said_of({"few": folder["few"]}) == []


def test_one_person_alone_is_compared_with_strangers() -> None:
    alone: Folder = people(1)
    show(alone, "p0", 5, faces(99, 1)[0])
    assert said_of(alone) == []  # nothing to compare with
    strangers: Sequence[Array] = [faces(100 + i, 12) for i in range(10)]
    assert len(said_of(alone, np.concatenate(strangers))) == 1
