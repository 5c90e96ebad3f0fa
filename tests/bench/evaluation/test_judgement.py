"""The judges together: what a person's scores rest on, and that they do not depend on who else is there."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pytest

from bench.core.hashing import sha256_array
from bench.core.types import Array, Dataset, Identity, Photo, Pixels
from bench.evaluation import judgement as module
from bench.evaluation.cohort import MATCHED, Cohort
from bench.evaluation.detections import FaceDetections
from bench.evaluation.judgement import Judgement
from bench.models.faces.face import Face

JUDGES = ("one", "two")
SIZE = 8
FAR = 0.02


def world() -> Cohort:
    """Strangers in all directions alike, of cosines with a deviation of 0.2."""
    return Cohort(np.zeros(SIZE), np.eye(SIZE)[:, :1], np.array([0.04]), np.array(0.04), np.array([0.0, 1.0]))


def picture(direction: Array) -> Pixels:
    """A picture that both judges see this direction in; a black one has no face."""
    return np.round(127.5 + 100 * direction).astype(np.uint8).reshape(1, SIZE, 1).repeat(3, axis=2)


def look(key: str, pictures: Sequence[Pixels]) -> Mapping[str, FaceDetections]:
    def faces(one: Pixels, turn: int) -> tuple[Face, ...]:
        if not one.any():
            return ()
        direction = np.roll((one[0, :, 0].astype(float) - 127.5) / 100, turn)
        return (Face((0, 0, 1, 1), 1.0, direction / np.linalg.norm(direction)),)

    return {judge: FaceDetections(tuple(faces(one, turn) for one in pictures)) for turn, judge in enumerate(JUDGES)}


def person(name: str, direction: Array, rng: np.random.Generator) -> Identity:
    def photos(part: str) -> tuple[Photo, ...]:
        made = [picture(direction + 0.05 * rng.normal(size=SIZE)) for _ in range(4)]
        return tuple(Photo(f"{part}{i}.png", pixels, sha256_array(pixels)) for i, pixels in enumerate(made))

    return Identity(name, photos("a"), photos("b"), photos("c"))


def judgement(*people: Identity) -> Judgement:
    data = Dataset("made up", "CC0", people, tuple(p.name for p in people), "fingerprint")
    return Judgement(look, JUDGES, data, FAR)


@pytest.fixture(autouse=True)
def _world(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "cohort", lambda judge: world())


@pytest.fixture
def ann(rng: np.random.Generator) -> Identity:
    return person("ann", np.eye(SIZE)[0], rng)


def unit(*cosines: float) -> list[Pixels]:
    """Pictures at these cosines to ann's direction."""
    return [picture(np.array([c, np.sqrt(1 - c * c), *[0.0] * (SIZE - 2)])) for c in cosines]


def test_who_else_is_in_the_data_set_changes_nothing(ann: Identity, rng: np.random.Generator) -> None:
    axes = np.eye(SIZE)
    alike = [person(f"alike {i}", axes[0] + 0.3 * axes[1 + i % 7], rng) for i in range(10)]
    others = [person(f"other {i}", axes[1 + i % 7], rng) for i in range(10)]
    seen = look("", [*unit(0.9, 0.6, 0.45, 0.3), np.zeros((1, SIZE, 3), np.uint8)])
    found = []
    for people in ((), alike, others):
        judges = judgement(ann, *people)
        values, _ = judges.scores(ann, seen)
        values.pop("false_leak")
        found.append((judges.scale(ann), values, judges.photos(ann, "cloaked", unit(1.0, 0.9, 0.8, 0.1))))
    assert found[0] == found[1] == found[2]


def test_a_picture_leaks_if_any_judge_recognises_the_person_at_its_share_of_the_rate(ann: Identity) -> None:
    judges = judgement(ann)
    scale = judges.scale(ann)
    for judge in JUDGES:
        reference = judges.recognitions[judge].references["ann"]
        assert world().share(reference, scale[f"ilr.{judge}"]) == pytest.approx(FAR / 2)
        assert world().share(reference, scale[f"ilr_matched.{judge}"]) == pytest.approx(MATCHED * FAR / 2)
    first, second = look("", unit(0.9))["one"], look("", unit(-0.9))["two"]
    assert judges.leaks(ann, {"one": first, "two": second}).tolist() == [True]
    assert judges.leaks(ann, look("", unit(0.1))).tolist() == [False]


def test_likeness_is_between_strangers_and_the_persons_own_photos(ann: Identity) -> None:
    judges = judgement(ann)
    nothing = np.zeros((1, SIZE, 3), np.uint8)

    def likeness(*pictures: Pixels) -> float | None:
        return judges.scores(ann, look("", pictures))[0]["likeness"]

    assert likeness(nothing) == 0
    assert likeness(*unit(-0.5)) == 0
    assert likeness(*unit(1.0)) == pytest.approx(1, abs=0.02)
    assert likeness(*unit(0.5)) == pytest.approx(0.5 / judges.scale(ann)["own.one"], abs=0.03)
    assert likeness(*unit(1.0), nothing) == pytest.approx(0.5, abs=0.01)


def test_false_leaks_are_counted_over_the_others(ann: Identity, rng: np.random.Generator) -> None:
    bob, eve = person("bob", np.eye(SIZE)[1], rng), person("eve", np.eye(SIZE)[4], rng)
    seen = look("", [*unit(1.0), picture(np.eye(SIZE)[1])])
    values, reasons = judgement(ann, bob, eve).scores(ann, seen)
    assert values["false_leak"] == 0.25  # one of two pictures passes for bob, and none for eve
    values, reasons = judgement(ann).scores(ann, seen)
    assert values["false_leak"] is None
    assert reasons["false_leak"] == "nobody else is in the data set"


def test_cloaked_photos_are_asked_whether_they_still_show_the_person(ann: Identity) -> None:
    judges = judgement(ann)
    assert judges.photos(ann, "same", [photo.pixels for photo in ann.protect])["photos_recognised"] == 1
    half = judges.photos(ann, "half", [*unit(1.0, 0.9), *unit(0.0, -0.2)])
    assert half["photos_recognised"] == 0.5
    assert half["retention"] == pytest.approx(np.mean([1.0, 0.9, 0.0, -0.2]), abs=0.05)
