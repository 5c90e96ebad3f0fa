"""Prepared photos, as the trainings read them."""

from __future__ import annotations

import numpy as np

from bench.zoo.train.photos import Faces

POINTS = [[0.3, 0.4], [0.7, 0.4], [0.5, 0.6], [0.35, 0.8], [0.65, 0.8]]
"""Key points that fill a photo as UTKFace's faces do."""


def faces(count: int = 4, split: str = "train") -> Faces:
    """Photos with one bright quarter each, of two people."""
    pixels = np.zeros((count, 128, 128, 3), np.uint8)
    pixels[:, :64, 64:] = 255  # upper right
    return Faces(
        pixels=pixels,
        source=np.array(["lfw"] * count),
        person=np.array(["ada", "bob"] * (count // 2)),
        split=np.array([split] * count),
        points=np.tile(np.array(POINTS), (count, 1, 1)),
        descriptors=np.zeros((count, 128)),
        age=np.array([-1] * count),
        gender=np.array([""] * count),
    )
