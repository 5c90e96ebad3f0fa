"""Photos as a CLIP vision tower wants them."""

from __future__ import annotations

import torch
from torch import Tensor

from bench.images import to_pixels


def clip_pixels(photos: Tensor, side: int) -> Tensor:
    """Preprocess for CLIP as diffusers' IP-Adapter and PhotoMaker do: resize, centre crop, normalise.

    transformers has two image processors that differ by up to a grey level, and which of them the plain name means
    depends on whether torchvision is installed. This is always the one on Pillow, so that results do not depend on it.

    Args:
        photos: (n, 3, h, w) in [0, 1]; taken at 8 bits, as an attacker would find them.
        side: the tower's input side in pixels.

    Returns:
        (n, 3, side, side) fp32 on the device of the photos.
    """
    import transformers

    # Before transformers 5 there was no second class, and the plain name meant the one on Pillow.
    kind = getattr(transformers, "CLIPImageProcessorPil", None) or transformers.CLIPImageProcessor
    pixels = kind(size=side, crop_size=side)(to_pixels(photos), return_tensors="pt").pixel_values
    return torch.as_tensor(pixels).to(photos.device)
