"""What the judges saw is read back as they saw it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from bench.core.types import Pixels
from bench.evaluation import detections
from bench.models.faces.face import Face

JUDGES = {"one": 4, "two": 7}


def face(number: int, width: int) -> Face:
    embedding = np.random.default_rng([number, width]).normal(size=width)
    return Face((0.1 * number, 0.0, 1.0, 0.5), number / 10, embedding / np.linalg.norm(embedding))


class Panel:
    """Sees as many faces as a picture's first value says."""

    judges = tuple(SimpleNamespace(name=name, width=width) for name, width in JUDGES.items())

    def find(self, picture: Pixels) -> dict[str, list[Face]]:
        count = int(picture[0, 0, 0])
        return {name: [face(10 * count + i, width) for i in range(count)] for name, width in JUDGES.items()}


def read_back(folder: Path, counts: Sequence[int]) -> dict[str, detections.FaceDetections]:
    panel: Any = Panel()
    detections.measure(folder, [np.full((2, 2, 3), count, np.uint8) for count in counts], panel)
    return detections.load(folder, len(counts))


def test_every_face_of_every_picture_comes_back_to_each_judge(tmp_path: Path) -> None:
    counts = (2, 0, 1, 3)
    seen = read_back(tmp_path, counts)
    assert list(seen) == list(JUDGES)
    for name, width in JUDGES.items():
        assert [len(faces) for faces in seen[name].faces] == list(counts)
        for count, faces in zip(counts, seen[name].faces, strict=True):
            for i, one in enumerate(faces):
                expected = face(10 * count + i, width)
                assert one.box == pytest.approx(expected.box)
                assert one.score == expected.score
                assert one.embedding == pytest.approx(expected.embedding, abs=1e-6)


def test_embeddings_are_of_length_one_though_they_are_stored_in_single_precision(tmp_path: Path) -> None:
    for faces in read_back(tmp_path, range(1, 12))["two"].faces:
        assert [np.linalg.norm(one.embedding) for one in faces] == pytest.approx([1.0] * len(faces), abs=1e-14)


def test_pictures_without_any_face_come_back_as_such(tmp_path: Path) -> None:
    assert read_back(tmp_path, (0, 0))["one"].faces == ((), ())
