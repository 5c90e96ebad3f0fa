"""Cuts faces out of pictures of any size for a judge: first shrunk where the face is large, so that nothing aliases."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.core.types import Array, Pixels
from bench.models.faces.alignment import compose, warp


def cut(picture: Pixels, to_face: Tensor, side: int) -> Array:
    """A face at its place in a square.

    Args:
        picture: (h, w, 3) uint8, RGB.
        to_face: (2, 3) transform from pixels of the picture to pixels of the result.
        side: of the result, pixels.

    Returns:
        (3, side, side) float32 grey levels of 255; 0 where the picture ends.
    """
    factor = max(1, int(1 / torch.linalg.det(to_face[:, :2]).sqrt()))
    # Pixel (x, y) of the shrunk picture is the mean of a square of pixels with its centre at factor * x + offset.
    offset = (factor - 1) / 2
    grown = torch.tensor([[factor, 0, offset], [0, factor, offset]], dtype=to_face.dtype)
    small = np.asarray(Image.fromarray(picture).reduce(factor))
    photo = torch.from_numpy(small.astype(np.float32)).permute(2, 0, 1)[None]
    return np.asarray(warp(photo, compose(grown, to_face)[None].float(), side)[0])
