"""A small face detector whose outputs mean what insightface's SCRFD means by them.

Guo et al., "Sample and Computation Redistribution for Efficient Face Detection", 2021; the format as insightface 2.1
decodes it (`insightface/model_zoo/scrfd.py`): three levels of strides 8, 16 and 32, two anchors at every place, and
for each anchor a score, the distances from its place to the four sides, and the offsets from it to the five key points,
both in strides. An anchor's place is (column, row) * stride, without half a stride.

Ours is much smaller than theirs, its neck only goes down, and its anchors are for faces of 20 to 140 pixels.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.zoo.train.networks import Residual, convolution

STRIDES = (8, 16, 32)
ANCHORS = ((22.0, 32.0), (45.0, 64.0), (90.0, 128.0))
"""Sizes of face, by level, that the two anchors are for: the root of the box's area in pixels, half an octave apart."""
FIELDS = (1, 4, 10)
"""Score, box and key points."""
RARE = -4.6
"""Logit of the score at the start: a face at one place in a hundred (Lin et al., "Focal loss", 2017, section 3.3)."""
TYPICAL = 1.5
"""Distance from the middle to the side of a typical face, in strides: boxes are proper from the start."""

Levels = list[tuple[Tensor, Tensor, Tensor]]


class Detector(nn.Module):
    """Pictures (n, 3, h, w), of grey levels as (x - 127.5) / 128 -> for each stride s three maps (n, 2k, h/s, w/s).

    The maps are score logits, box distances and key point offsets; k is 1, 4 and 10. h and w are multiples of 32.
    """

    def __init__(self, widths: tuple[int, ...] = (16, 32, 48, 64, 96), neck: int = 48) -> None:
        super().__init__()
        first, second, *levels = widths
        self.stem = nn.Sequential(
            convolution(3, first, 3, 2), nn.PReLU(first), convolution(first, second, 3, 2), nn.PReLU(second)
        )
        self.levels = nn.ModuleList(
            Residual(inside, outside, 2) for inside, outside in zip((second, *levels), levels, strict=False)
        )
        self.lateral = nn.ModuleList(convolution(width, neck, 1) for width in levels)
        self.smooth = nn.ModuleList(nn.Sequential(convolution(neck, neck, 3), nn.PReLU(neck)) for _ in levels)
        self.tower = nn.Sequential(Residual(neck, neck, 1))
        self.fields = nn.ModuleList(nn.Conv2d(neck, 2 * field, 3, padding=1) for field in FIELDS)
        for field, start in zip(self.fields, (RARE, TYPICAL, 0.0), strict=True):
            nn.init.constant_(field.bias, start)  # type: ignore[arg-type]

    def forward(self, pictures: Tensor) -> Levels:
        x, features = self.stem(pictures), []
        for level in self.levels:
            x = level(x)
            features.append(x)
        merged = [lateral(feature) for lateral, feature in zip(self.lateral, features, strict=True)]
        for finer in (1, 0):
            merged[finer] = merged[finer] + F.interpolate(merged[finer + 1], scale_factor=2.0, mode="nearest")
        towers = [self.tower(smooth(feature)) for smooth, feature in zip(self.smooth, merged, strict=True)]
        return [tuple(field(tower) for field in self.fields) for tower in towers]


class InsightfaceFormat(nn.Module):
    """The nine outputs that insightface expects, for one picture: scores, boxes and key points, by level (rows, k)."""

    def __init__(self, detector: nn.Module) -> None:
        super().__init__()
        self.detector = detector

    def forward(self, picture: Tensor) -> tuple[Tensor, ...]:
        scores, boxes, points = zip(*self.detector(picture), strict=True)
        return (
            *(_rows(score, 1).sigmoid() for score in scores),
            *(_rows(box, 4) for box in boxes),
            *(_rows(point, 10) for point in points),
        )


def normalise(pictures: Tensor) -> Tensor:
    """Pictures (n, 3, h, w) in [0, 1] to what insightface feeds a detector."""
    return ((pictures * 255 - 127.5) / 128).to(memory_format=torch.channels_last)


def _rows(maps: Tensor, field: int) -> Tensor:
    """(n, 2k, h, w) -> (n * h * w * 2, k), by place and then by anchor."""
    return maps.permute(0, 2, 3, 1).reshape(-1, field)


def anchors(side: int) -> Tensor:
    """(rows, 4) of all levels of a square picture: x and y of the place, stride, size of face it is for; in pixels."""
    levels = []
    for stride, sizes in zip(STRIDES, ANCHORS, strict=True):
        places = torch.arange(side // stride) * float(stride)
        y, x, size = torch.meshgrid(places, places, torch.tensor(sizes), indexing="ij")
        levels.append(torch.stack([x, y, torch.full_like(x, stride), size], dim=-1).reshape(-1, 4))
    return torch.cat(levels)


def decode(levels: Levels, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """What all anchors see in square pictures.

    Returns:
        Score logits (n, rows), boxes (n, rows, 4) as left, top, right, bottom, and key points (n, rows, 5, 2); pixels.
    """
    n = len(levels[0][0])
    scores, boxes, points = (
        torch.cat([_rows(level[i], field).reshape(n, -1, field) for level in levels], dim=1).float()
        for i, field in enumerate(FIELDS)
    )
    known = anchors(side).to(scores)
    place, stride = known[:, :2], known[:, 2:3]
    corners = torch.cat([place - boxes[..., :2] * stride, place + boxes[..., 2:] * stride], dim=-1)
    return scores[..., 0], corners, place[:, None] + points.reshape(n, -1, 5, 2) * stride[..., None]


def surest(levels: Levels, side: int) -> tuple[Tensor, Tensor, Tensor]:
    """The likeliest face of each square picture: score logit (n,), box (n, 4), key points (n, 5, 2) in pixels."""
    scores, boxes, points = decode(levels, side)
    best, row = scores.max(dim=1)
    every = torch.arange(len(row), device=row.device)
    return best, boxes[every, row], points[every, row]
