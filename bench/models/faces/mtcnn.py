"""The detector of the judges: MTCNN, at the picture's own size.

Zhang et al., "Joint Face Detection and Alignment Using Multitask Cascaded Convolutional Networks" (2016). Three
networks: P-Net proposes boxes on a pyramid of sizes, R-Net throws most of them away, O-Net keeps faces and gives five
key points.
Where the weights come from: `bench/zoo/judges/README.md`.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from PIL import Image

from bench.core.types import Array, Pixels
from bench.models.faces.sessions import session
from bench.models.weights.files import ZOO

FILES = tuple(ZOO / "judges" / f"mtcnn-{letter}.onnx" for letter in "pro")
"""P-Net, R-Net, O-Net."""

SMALLEST = (0.2, 0.08)
"""Side of the smallest face that is looked for, as a share of the picture's longer side: the second where nothing is
found with the first, so the background of a portrait is not searched. P-Net sees faces of 12 px: a picture of any size
is shrunk to 60 or 150 px for it, and its size costs nothing but the shrinking."""
CELL, STRIDE = 12, 2
"""Side of what P-Net looks at, and its step, pixels."""
PYRAMID = 0.709
"""From one size to the next: half the area, as in the paper's code."""
THRESHOLDS = (0.6, 0.7, 0.7)
"""Probability of a face from which each network keeps a box, as in the paper's code."""
MARGIN = 0.05
"""Grey border around the picture, as a share of its longer side: faces that fill the picture reach over its edges."""


@dataclass(frozen=True)
class Detection:
    """A face: box (4,) left, top, right, bottom and key points (5, 2) in pixels, and its probability."""

    box: Array
    points: Array
    score: float


class Mtcnn:
    """Finds faces. Deterministic; loads its networks on first use."""

    def find(self, picture: Pixels) -> list[Detection]:
        """All faces of a picture (h, w, 3) uint8 RGB, the most probable first.

        Key points: left eye, right eye, nose, left and right corner of the mouth, as seen. Boxes and points may reach
        outside the picture.
        """
        longest = max(picture.shape[:2])
        margin = round(MARGIN * longest)
        padded = np.pad(picture, ((margin, margin), (margin, margin), (0, 0)), constant_values=128)
        image = Image.fromarray(padded)
        attempts = (self._search(image, smallest * longest) for smallest in SMALLEST)
        found = next(filter(None, attempts), [])
        return [Detection(face.box - margin, face.points - margin, face.score) for face in found]

    def _search(self, image: Image.Image, smallest: float) -> list[Detection]:
        """Faces from `smallest` pixels on."""
        p, r, o = self._networks
        boxes = _proposals(p, image, smallest)
        if len(boxes):
            probability, shifts = _run(r, _crops(image, boxes, 24))
            boxes = _kept(boxes, probability, shifts, THRESHOLDS[1])
            boxes = boxes[_suppress(boxes, 0.7)]
        if not len(boxes):
            return []
        square = _square(boxes)
        probability, shifts, points = _run(o, _crops(image, boxes, 48))
        places = np.stack([points[:, :5], points[:, 5:]], axis=-1) * (square[:, None, 2:] - square[:, None, :2])
        places = (places + square[:, None, :2])[probability[:, 1] >= THRESHOLDS[2]]
        faces = _kept(boxes, probability, shifts, THRESHOLDS[2])
        return [Detection(faces[i, :4], places[i], float(faces[i, 4])) for i in _suppress(faces, 0.7, of_smaller=True)]

    @cached_property
    def _networks(self) -> tuple[Any, Any, Any]:
        p, r, o = map(session, FILES)
        return p, r, o


def _run(network: Any, pictures: Array) -> list[Array]:
    """What a network says of pictures (n, side, side, 3), grey levels of 255."""
    given = np.ascontiguousarray((pictures.astype(np.float32) - 127.5).transpose(0, 3, 1, 2) / 128)
    outputs: list[Array] = network.run(None, {"pictures": given})
    return outputs


def _proposals(p: Any, image: Image.Image, smallest: float) -> Array:
    """(n, 5) boxes in pixels with their probabilities, of faces from `smallest` pixels on."""
    scale, found = CELL / smallest, [np.empty((0, 5))]
    while min(image.size) * scale >= CELL:
        size = (round(image.width * scale), round(image.height * scale))
        shrunk = image.resize(size, Image.Resampling.BILINEAR, reducing_gap=2)
        (probability,), (shifts,) = _run(p, np.asarray(shrunk)[None])
        y, x = np.nonzero(probability[1] >= THRESHOLDS[0])
        corners = np.stack([x, y, x, y], axis=1) * STRIDE + [0, 0, CELL, CELL]
        level = np.column_stack([corners / scale, probability[1, y, x]])
        keep = _suppress(level, 0.5)
        found.append(_shifted(level[keep], shifts[:, y, x].T[keep]))
        scale *= PYRAMID
    boxes = np.concatenate(found)
    return boxes[_suppress(boxes, 0.7)]


def _kept(boxes: Array, probability: Array, shifts: Array, threshold: float) -> Array:
    """(m, 5) those of the boxes' squares that are probable enough, shifted, with their probabilities."""
    sure = probability[:, 1] >= threshold
    return _shifted(np.column_stack([_square(boxes), probability[:, 1]])[sure], shifts[sure])


def _shifted(boxes: Array, shifts: Array) -> Array:
    """Boxes (n, 5) whose corners are moved by shares (n, 4) of their sides."""
    sides = boxes[:, 2:4] - boxes[:, :2]
    return np.column_stack([boxes[:, :4] + shifts * np.tile(sides, 2), boxes[:, 4]])


def _square(boxes: Array) -> Array:
    """(n, 4) squares around the same centres, with the longer side."""
    centre = (boxes[:, :2] + boxes[:, 2:4]) / 2
    half = (boxes[:, 2:4] - boxes[:, :2]).max(axis=1, keepdims=True) / 2
    return np.column_stack([centre - half, centre + half])


def _crops(image: Image.Image, boxes: Array, side: int) -> Array:
    """(n, side, side, 3) the boxes' squares; black outside the picture.

    Squares of more than `4 * side` pixels are cut from a copy that is shrunk by a power of 2: in large pictures that
    saves most of the time.
    """
    copies, crops = {1: image}, []
    for square in _square(boxes):
        factor = 2 ** max(0, int(np.log2(max(1.0, (square[2] - square[0]) / (4 * side)))))
        if factor not in copies:
            copies[factor] = image.reduce(factor)
        cut = copies[factor].crop(tuple(np.round(square / factor).astype(int).tolist()))
        crops.append(np.asarray(cut.resize((side, side), Image.Resampling.BILINEAR)))
    return np.stack(crops)


def _suppress(boxes: Array, overlap: float, of_smaller: bool = False) -> list[int]:
    """Which of the boxes (n, 5) remain, best first, when none overlaps with a better one by more than `overlap`.

    Overlap is intersection over union, or over the smaller box.
    """
    left, top, right, bottom, score = boxes.T
    area, rest, keep = (right - left) * (bottom - top), np.argsort(-score, kind="stable"), []
    while len(rest):
        best, rest = rest[0], rest[1:]
        keep.append(int(best))
        width = np.minimum(right[best], right[rest]) - np.maximum(left[best], left[rest])
        height = np.minimum(bottom[best], bottom[rest]) - np.maximum(top[best], top[rest])
        shared = np.clip(width, 0, None) * np.clip(height, 0, None)
        whole = np.minimum(area[best], area[rest]) if of_smaller else area[best] + area[rest] - shared
        rest = rest[shared <= overlap * whole]
    return keep
