"""Pictures to train a detector on: one face, or none, of any size at any place on any background."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.models.faces.alignment import MIRRORED, face_box, move, warp
from bench.zoo.train.augment import on, placement, some, uniform

SIZES = (0.17, 0.98)
"""Range of the root of the box's area, as a share of the canvas. A box is 1.3 times as high as wide."""
CLOSE = (1.4, 5.0)
"""The same for close-ups, which count as no face: detectors run at several scales and should wait for the right one."""
NO_FACE = 0.3
"""Share of canvases without a face."""
TURN = 0.5
"""Largest turn, radians."""


@dataclass(frozen=True)
class Canvases:
    """Pictures (n, 3, side, side) in [0, 1] and what is on them.

    Attributes:
        faces: (n,) bool, whether there is a face.
        points: (n, 5, 2) its key points, pixels; meaningless where there is none.
    """

    pictures: Tensor
    faces: Tensor
    points: Tensor


def paint(photos: Tensor, points: Tensor, random: torch.Generator) -> Canvases:
    """Put each photo, scaled, turned and shifted, on a background.

    Args:
        photos: (n, 3, side, side) in [0, 1], of one face each.
        points: (n, 5, 2) their key points, pixels.
    """
    n, _, side, _ = photos.shape
    faces, close = ~some(n, NO_FACE, random), some(n, 0.5, random)
    octaves = torch.where(faces, _octaves(SIZES, n, random), _octaves(CLOSE, n, random))
    sizes = side * octaves.exp2()
    boxes = face_box(points)
    middle, radii = (boxes[:, :2] + boxes[:, 2:]) / 2, (boxes[:, 2:] - boxes[:, :2]) / 2
    scale = sizes / (2 * radii.prod(dim=1).sqrt())
    matrix = placement(middle, _goals(sizes, side, random), scale, TURN, random)
    layers = warp(torch.cat([photos, photos.new_ones(n, 1, side, side)], dim=1), matrix.to(photos), side)
    # Canvases without a face are close-ups, or only background.
    layers = layers * (faces | close)[:, None, None, None].to(photos.device)
    pictures = layers[:, :3] + background(photos, random) * (1 - layers[:, 3:])
    moved = move(points, matrix)
    mirrored = torch.linalg.det(matrix[..., :2]) < 0
    return Canvases(pictures, faces, torch.where(mirrored[:, None, None], moved[:, MIRRORED], moved))


def _octaves(span: tuple[float, float], count: int, random: torch.Generator) -> Tensor:
    return uniform(math.log2(span[0]), math.log2(span[1]), (count,), random)


def _goals(sizes: Tensor, side: int, random: torch.Generator) -> Tensor:
    """Where to put the middles of faces of some sizes (n,), so that they are mostly on the canvas: (n, 2)."""
    margin = (0.45 * sizes).clamp(max=0.45 * side)[:, None]
    return margin + (side - 2 * margin) * torch.rand((len(sizes), 2), generator=random)


def background(photos: Tensor, random: torch.Generator) -> Tensor:
    """Pictures without a face in the shape of `photos`: shuffled photos, enlarged corners of photos, and textures."""
    photos = photos.roll(1, dims=0)
    pictures = on(some(len(photos), 0.5, random), tiles(photos, random), textures, random)
    corner = some(len(photos), 1 / 3, random)[:, None, None, None]
    return torch.where(corner.to(photos.device), _corners(photos), pictures)


def textures(photos: Tensor, random: torch.Generator) -> Tensor:
    """Coloured noise in [0, 1] in the shape of `photos`, plain to fine-grained.

    Each picture is its own mixture of grains; in half of them one grain outweighs the others, as blobs of the size of
    eyes are what a detector takes for a face.
    """
    n, channels, side, _ = photos.shape
    grains = (1, 4, 8, 16, 32, side // 2, side)
    power = torch.where(uniform(0, 1, (n, 1, 1, 1), random) < 0.5, 3.0, 24.0)
    weights = uniform(0, 1, (len(grains), n, 1, 1, 1), random) ** power
    weights = weights / weights.amax(dim=0) * uniform(0.2, 1, (n, 1, 1, 1), random)
    layers = [F.interpolate(uniform(-1, 1, (n, channels, g, g), random), (side, side), mode="bilinear") for g in grains]
    return (0.5 + (weights * torch.stack(layers)).sum(dim=0) / 2).clamp(0, 1).to(photos)


def _corners(photos: Tensor) -> Tensor:
    """The upper left corners of photos, where no face is, enlarged five times."""
    side = photos.shape[-1]
    return F.interpolate(photos[..., : side // 5, : side // 5], size=(side, side), mode="bilinear")


def tiles(photos: Tensor, random: torch.Generator, across: int = 4) -> Tensor:
    """Photos cut into 4 x 4 tiles which change places: the look of photos, and of parts of faces, but no face."""
    n, _, side, _ = photos.shape
    edge = side // across
    cut = F.unfold(photos, edge, stride=edge)
    order = torch.rand((n, 1, across**2), generator=random).argsort(dim=-1)
    return F.fold(cut.gather(2, order.to(cut.device).expand_as(cut)), (side, side), edge, stride=edge)
