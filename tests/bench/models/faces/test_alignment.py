"""Alignment against two oracles: scikit-image for the matrix, insightface for the crop."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from skimage.transform import SimilarityTransform

from bench.models.faces.alignment import TEMPLATE, align, compose, face_box, inverse, move, similarity, warp

FACE = torch.tensor([[41.0, 50.0], [70.0, 46.0], [57.0, 66.0], [46.0, 83.0], [71.0, 79.0]])


def faces(rng: np.random.Generator, count: int = 4) -> torch.Tensor:
    return FACE + torch.from_numpy(rng.normal(0, 3, (count, 5, 2))).float()


def test_similarity_is_that_of_skimage(rng: np.random.Generator) -> None:
    points = faces(rng)
    for mine, source in zip(similarity(points, TEMPLATE), points.numpy(), strict=True):
        oracle = SimilarityTransform.from_estimate(source, TEMPLATE.numpy())
        assert np.allclose(mine.numpy(), oracle.params[:2], atol=1e-4)


def test_similarity_never_mirrors() -> None:
    mirrored = FACE * torch.tensor([-1.0, 1.0])
    assert torch.linalg.det(similarity(mirrored[None], TEMPLATE)[0, :, :2]) > 0


def test_transforms_are_a_group(rng: np.random.Generator) -> None:
    points = faces(rng)
    there, on = similarity(points, TEMPLATE), similarity(points.flip(0), FACE)
    assert torch.allclose(move(move(points, there), inverse(there)), points, atol=1e-3)
    assert torch.allclose(move(points, compose(there, on)), move(move(points, there), on), atol=1e-3)


def test_align_cuts_what_insightface_cuts(rng: np.random.Generator) -> None:
    face_align = pytest.importorskip("insightface.utils.face_align")
    pictures = rng.integers(0, 256, (4, 16, 24, 3), dtype=np.uint8).repeat(8, axis=1).repeat(6, axis=2)
    points = faces(rng)
    crops = align(torch.from_numpy(pictures).permute(0, 3, 1, 2).float(), points)
    for crop, picture, key_points in zip(crops, pictures, points.numpy(), strict=True):
        oracle = face_align.norm_crop(picture, key_points).astype(np.float32)
        error = np.abs(crop.permute(1, 2, 0).numpy() - oracle)
        # OpenCV 4 rounds where it samples to 1/32 of a pixel and OpenCV 5 does not: compare means, not the worst pixel.
        assert error.mean() < 1.5


def test_identity_warp_keeps_every_pixel(rng: np.random.Generator) -> None:
    picture = torch.from_numpy(rng.random((1, 3, 20, 20)))
    same = torch.tensor([[[1.0, 0.0, 0.0], [0.0, 1.0, 0.0]]])
    assert torch.allclose(warp(picture, same, 20), picture, atol=1e-5)


def test_gradient_reaches_the_pixels() -> None:
    photo = torch.full((1, 3, 128, 128), 0.5, requires_grad=True)
    (gradient,) = torch.autograd.grad(align(photo, FACE[None]).sum(), photo)
    assert (gradient[0, :, 60, 60] > 0).all()


def test_box_holds_the_face_and_turns_with_it() -> None:
    left, top, right, bottom = face_box(TEMPLATE[None])[0]
    assert left < TEMPLATE[:, 0].min() < TEMPLATE[:, 0].max() < right
    assert top < TEMPLATE[:, 1].min() < TEMPLATE[:, 1].max() < bottom
    lying = TEMPLATE.flip(-1) * torch.tensor([-1.0, 1.0])
    width, height = (face_box(lying[None])[0, 2:] - face_box(lying[None])[0, :2]).tolist()
    assert width == pytest.approx(float(bottom - top), abs=1e-3)
    assert height == pytest.approx(float(right - left), abs=1e-3)
