"""A UNet on pixels, which is no base: what a remover and a prior of clean photos are.

The stock `UNet2DModel`. One with three channels sees the photo as it is; one with more sees it folded, each block of
2 x 2 or 4 x 4 pixels as one with 12 or 48 channels, which costs a quarter or a sixteenth at the photo's size.
"""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.errors import BenchError
from bench.models.kept_network import kept_network

CHANNELS = 3
Network = Any
"""A `UNet2DModel`; diffusers' own methods are not typed."""


def small(width: int = 48) -> Network:
    """A network for photos of 128 px, with random weights; its last layer is zero, so that it answers zero."""
    from diffusers import UNet2DModel

    network = UNet2DModel(
        sample_size=32,
        in_channels=16 * CHANNELS,
        out_channels=16 * CHANNELS,
        block_out_channels=(width, 2 * width, 2 * width),
        layers_per_block=1,
        down_block_types=("DownBlock2D",) * 3,
        up_block_types=("UpBlock2D",) * 3,
        add_attention=False,
        norm_num_groups=16,
    )
    torch.nn.init.zeros_(network.conv_out.weight)
    torch.nn.init.zeros_(network.conv_out.bias)
    return network


def answer(network: Network, photos: Tensor, timesteps: Tensor) -> Tensor:
    """What a network says of photos (n, 3, h, w), usually in [-1, 1], at timesteps (n,): (n, 3, h, w).

    Sides that the network's levels do not divide are mirrored at the right and below, and cut again.
    """
    fold = _fold(network)
    unit = fold * 2 ** (len(network.config.block_out_channels) - 1)
    height, width = photos.shape[-2:]
    padded = F.pad(photos, (0, -width % unit, 0, -height % unit), mode="reflect")
    said = network(F.pixel_unshuffle(padded, fold), timesteps).sample
    return F.pixel_shuffle(said, fold)[..., :height, :width]


def side(network: Network) -> int:
    """Side of the photos that it was trained on, pixels."""
    return int(network.config.sample_size) * _fold(network)


def _fold(network: Network) -> int:
    return math.isqrt(int(network.config.in_channels) // CHANNELS)


def load(folder: Path, fingerprint: str, device: str) -> Network:
    """A network of a folder, kept; see `kept_network`.

    Raises:
        BenchError: it does not load, or is none on colour pictures.
    """
    network = kept_network("UNet2DModel", folder, fingerprint, device)
    channels = int(network.config.in_channels)
    if channels != int(network.config.out_channels) or _fold(network) ** 2 * CHANNELS != channels:
        raise BenchError(
            f"The network in {folder} takes {channels} channels and gives {network.config.out_channels}.",
            f"Both must be {CHANNELS} times a square: 3, 12, 48.",
        )
    return network
