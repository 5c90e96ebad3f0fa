"""The family's evaluation: the photos it takes, and its own small measures."""

from __future__ import annotations

import io
import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.models.weights.files import ZOO
from bench.zoo.boxes import overlap
from bench.zoo.evaluate import PER_PERSON, Family, Held, faceless


def test_overlap_of_boxes() -> None:
    box = np.array([0.0, 0, 10, 10])
    assert overlap(box, box) == 1
    assert overlap(box, box + 20) == 0
    assert overlap(box, box + np.array([5, 0, 5, 0])) == pytest.approx(50 / 150)


def test_only_held_out_people_count_and_nobody_more_than_others(tmp_path: Path) -> None:
    first = json.loads((ZOO / "held_out.json").read_text())["lfw"]
    second = json.loads((ZOO / "split.json").read_text())["held"]["lfw"]
    known = next(name for name in first if name in second)
    once = next(name for name in first if name not in second)  # seen by the second edition's trainings
    buffer = io.BytesIO()
    Image.new("RGB", (128, 128), "red").save(buffer, "PNG")
    points = [0.3, 0.4, 0.7, 0.4, 0.5, 0.6, 0.35, 0.8, 0.65, 0.8]
    rows = [
        {"image": {"bytes": buffer.getvalue()}, "identity": name, "landmarks": points}
        for name, count in ((known, PER_PERSON + 3), (once, 2), ("somebody who is not in LFW", 2))
        for _ in range(count)
    ]
    pq.write_table(pa.Table.from_pylist(rows), tmp_path / "lfw_train.parquet")
    held = Held.load(tmp_path)
    assert list(held.people) == [known] * PER_PERSON
    np.testing.assert_allclose(held.points[0, 0], [0.3 * 128, 0.4 * 128])


def test_a_family_in_training_has_the_parts_that_are_finished(tmp_path: Path) -> None:
    base = tmp_path / "names" / "final" / "base"
    base.mkdir(parents=True)
    (tmp_path / "facelet-2").mkdir()  # not finished
    (tmp_path / "vae" / "final" / "vae").mkdir(parents=True)
    family = Family.trained(tmp_path)
    assert (family.recognisers, family.bases) == ({}, {"facelet-1": base})
    assert family.autoencoders == {"autoencoder": tmp_path / "vae" / "final" / "vae"}
    assert Family.shipped().autoencoders == {"autoencoder": ZOO / "facelet-1" / "vae"}
    assert list(Family.shipped().bases) == ["facelet-1", "facelet-2"]
    assert list(Family.shipped().recognisers) == ["facelet-id-a", "facelet-id-b"]


def test_missing_photos_are_an_error_with_a_fix(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"lfw_train\.parquet"):
        Held.load(tmp_path)


def test_pictures_without_a_face_are_the_same_every_time() -> None:
    first, again = (list(faceless()) for _ in range(2))
    assert len(first) == 300
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
