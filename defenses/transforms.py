"""Differentiable transforms that some cloaks are trained to survive."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor


def blur(photos: Tensor, sigma: float, radius: int) -> Tensor:
    """Gaussian blur of (n, c, h, w) with a kernel of 2 * radius + 1 pixels; the border is mirrored."""
    offsets = torch.arange(-radius, radius + 1, dtype=photos.dtype, device=photos.device)
    kernel = torch.exp(-offsets.square() / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).expand(photos.shape[1], 1, -1)
    padded = F.pad(photos, (radius,) * 4, mode="reflect")
    rows = F.conv2d(padded, kernel[:, :, None, :], groups=photos.shape[1])
    return F.conv2d(rows, kernel[:, :, :, None], groups=photos.shape[1])


def random_view(photos: Tensor, generator: torch.Generator) -> Tensor:
    """MetaCloak's transforms: a blur of 7 pixels with a random sigma in [0.1, 2], and mirrored half of the time."""
    sigma = 0.1 + 1.9 * float(torch.rand((), generator=generator))
    seen = blur(photos, sigma, radius=3)
    return seen.flip(-1) if float(torch.rand((), generator=generator)) < 0.5 else seen
