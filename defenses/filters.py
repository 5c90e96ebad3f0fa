"""What FaceShield does to a perturbation (n, 3, h, w), so that it is hardly seen and JPEG leaves it alone."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

BLOCK = 8
KEPT = (6, 5, 5, 4, 3, 2, 0, 0)
"""How many coefficients, from the lowest, are kept in each row of a block's cosine transform."""
RADIUS, SIGMA = 4, 5.0
"""Of the blur, pixels, for photos of 512 px: it is 9 pixels wide."""


def low_pass(perturbation: Tensor) -> Tensor:
    """Keep the low frequencies of each block of 8 x 8 pixels, by its cosine transform (DCT-II, orthonormal)."""
    height, width = perturbation.shape[-2:]
    padded = F.pad(perturbation, (0, -width % BLOCK, 0, -height % BLOCK))
    rows, columns = (side // BLOCK for side in padded.shape[-2:])
    blocks = padded.view(*padded.shape[:2], rows, BLOCK, columns, BLOCK)
    basis = _cosines().to(perturbation)
    kept = torch.arange(BLOCK) < torch.tensor(KEPT)[:, None]
    spectrum = torch.einsum("ui,ncaibj,vj->ncaubv", basis, blocks, basis) * kept.to(perturbation)[:, None]
    filtered = torch.einsum("ui,ncaubv,vj->ncaibj", basis, spectrum, basis).flatten(-2).flatten(-3, -2)
    return filtered[..., :height, :width]


def soften(step: Tensor, scale: float = 1.0) -> Tensor:
    """Blur a step where its edges are sharpest: within the blur's radius of where a Sobel filter is at its maximum.

    The filter sees each photo's step scaled to [0, 1], and zeros around it; the maximum is that of all three channels.

    Args:
        step: (n, 3, h, w), any unit.
        scale: of the blur; it is none where its radius is less than half a pixel.
    """
    radius = round(RADIUS * scale)
    if not radius:
        return step
    low, high = (extreme(step, dim=(1, 2, 3), keepdim=True) for extreme in (torch.amin, torch.amax))
    scaled = (step - low) / (high - low).clamp(min=torch.finfo(step.dtype).tiny)
    sobel = torch.tensor([[1.0, 0.0, -1.0], [2.0, 0.0, -2.0], [1.0, 0.0, -1.0]]).to(step)
    edges = torch.zeros_like(step, dtype=torch.bool)
    for kernel in (sobel, sobel.T):
        slope = _filtered(scaled, kernel).abs()
        edges |= slope >= slope.amax(dim=(1, 2, 3), keepdim=True) - 1e-4  # equal, but for rounding
    near = F.max_pool2d(edges.to(step), 2 * radius + 1, stride=1, padding=radius).bool() & (high > low)
    offsets = torch.arange(-radius, radius + 1).to(step)
    gaussian = torch.exp(-0.5 * (offsets / (SIGMA * scale)).square())
    gaussian = gaussian / gaussian.sum()
    return torch.where(near, _filtered(step, torch.outer(gaussian, gaussian)), step)


def _filtered(pictures: Tensor, kernel: Tensor) -> Tensor:
    """Each channel by itself, with zeros around it."""
    channels = pictures.shape[1]
    return F.conv2d(pictures, kernel.expand(channels, 1, -1, -1), padding=len(kernel) // 2, groups=channels)


def _cosines() -> Tensor:
    """(8, 8): the orthonormal cosine transform of eight values."""
    index = torch.arange(BLOCK)
    basis = torch.cos((2 * index + 1) * index[:, None] * math.pi / (2 * BLOCK)) * math.sqrt(2 / BLOCK)
    basis[0] = math.sqrt(1 / BLOCK)
    return basis
