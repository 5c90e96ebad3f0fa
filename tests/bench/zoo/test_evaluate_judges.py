"""The judges' evaluation: its small measures. The figures themselves need real people."""

from __future__ import annotations

import numpy as np
import pytest

from bench.core.types import Array
from bench.evaluation.cohort import cohort
from bench.models.faces.alignment import TEMPLATE
from bench.zoo.evaluate_judges import MOST_ALIKE, between, nearest, pasted


def test_a_pasted_face_is_in_its_box_and_fills_its_share() -> None:
    photo = np.zeros((128, 128, 3), np.uint8)
    photo[:, :, 1] = 255
    points = TEMPLATE.numpy() * 0.8 + 20
    for share in (0.1, 0.6):
        picture, box = pasted(photo, points, 512, share, np.random.default_rng(0))
        assert picture.shape == (512, 512, 3)
        assert (box[2:] - box[:2]).max() == pytest.approx(share * 512)
        left, top, right, bottom = box.round().astype(int)
        inside = picture[top + 2 : bottom - 2, left + 2 : right - 2]
        assert (inside == [0, 255, 0]).all()


def test_false_accepts_between_people_of_a_group() -> None:
    world = cohort("mobilefacenet")
    drawn: Array = np.random.default_rng(0).normal(size=(300, len(world.variances)))
    faces = drawn * world.variances**0.5 @ world.basis.T
    faces /= np.linalg.norm(faces, axis=1, keepdims=True)
    rate = float(between({"mobilefacenet": faces}).split()[1].rstrip("%"))
    assert 0.5 < rate < 2  # strangers as the cohort has them
    twins = np.repeat(faces[:10], 2, axis=0)
    rate = float(between({"mobilefacenet": twins}).split()[1].rstrip("%"))
    assert rate >= 100 / 19 - 0.01  # one of nineteen others is the twin


def test_the_most_alike_are_those_with_the_largest_cosines() -> None:
    angles = np.linspace(0, np.pi, 30)
    references = {f"p{i}": {"a": np.array([np.cos(t), np.sin(t)])} for i, t in enumerate(angles)}
    assert set(nearest("p0", references)) == {f"p{i}" for i in range(1, MOST_ALIKE + 1)}
