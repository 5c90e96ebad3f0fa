"""What a reconstruction should keep: the pixels, the edges, and who it is."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.zoo.train.networks import Fused, Residual
from bench.zoo.train.precision import autocast


def reconstruction(restored: Tensor, photos: Tensor) -> Tensor:
    """L1 + half squared error + half L1 of the differences between neighbours."""
    error = restored - photos
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 0.5 * error.square().mean() + 0.5 * edges


def likeness(network: nn.Sequential, restored: Tensor, photos: Tensor) -> Tensor:
    """How far aligned faces (n, 3, 112, 112) in [-1, 1] are apart to a recogniser.

    Relative squared error of its features, averaged over its blocks, as in a perceptual loss (Johnson et al. 2016),
    plus 1 - cosine of its embeddings.
    """
    mine, theirs, errors = restored, photos, []
    with autocast():
        for layer in network:
            mine, theirs = layer(mine), layer(theirs)
            if isinstance(layer, (Residual, Fused)):
                errors.append((mine - theirs).float().square().mean() / theirs.float().square().mean())
    return torch.stack(errors).mean() + (1 - F.cosine_similarity(mine.float(), theirs.float())).mean()


def psnr(restored: Tensor, photos: Tensor) -> Tensor:
    """(n,) PSNR in dB of pictures in [-1, 1]."""
    return 10 * torch.log10(4 / (restored.clamp(-1, 1) - photos).square().mean(dim=(1, 2, 3)))
