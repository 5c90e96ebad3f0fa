"""Pictures in and out: make square, save, read back, and convert between uint8 arrays and tensors.

People's photos are read by `bench.data.photo_reader`.
"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bench.core.errors import BenchError
from bench.core.types import Pixels

if TYPE_CHECKING:
    from torch import Tensor


def crop_square(image: Image.Image, box: tuple[float, float, float, float]) -> Image.Image:
    """Crop a square in pixels (left, top, right, bottom); parts outside the photo repeat its border."""
    left, top, right, bottom = (round(edge) for edge in box)
    side = max(right - left, bottom - top, 1)
    columns = np.clip(np.arange(left, left + side), 0, image.width - 1)
    rows = np.clip(np.arange(top, top + side), 0, image.height - 1)
    return Image.fromarray(np.asarray(image)[rows[:, None], columns[None, :]])


def crop_centre(image: Image.Image) -> Image.Image:
    """The largest centred square."""
    side = min(image.size)
    left, top = (image.width - side) // 2, (image.height - side) // 2
    return crop_square(image, (left, top, left + side, top + side))


def resize(image: Image.Image, side: int) -> Pixels:
    """A square photo as (side, side, 3) uint8, Lanczos."""
    return np.asarray(image.resize((side, side), Image.Resampling.LANCZOS))


def png_bytes(pixels: Pixels) -> bytes:
    """Lossless 8-bit PNG of (h, w, 3) uint8."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="PNG")
    return buffer.getvalue()


def jpeg(pixels: Pixels, quality: int) -> Pixels:
    """(h, w, 3) uint8 through JPEG with 4:2:0 chroma and back; `quality` is Pillow's, 1 to 95."""
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, format="JPEG", quality=quality, subsampling="4:2:0")
    with Image.open(buffer) as image:
        return np.asarray(image.convert("RGB"))


def read_png(path: Path) -> Pixels:
    """(h, w, 3) uint8 of a PNG that the harness wrote itself.

    Raises:
        BenchError: it is damaged.
    """
    try:
        with Image.open(path, formats=["PNG"]) as image:
            return np.asarray(image.convert("RGB"))
    except (OSError, SyntaxError, ValueError) as error:
        raise BenchError(
            f"{path} cannot be read ({type(error).__name__}).", "Delete it: what is missing in the store is made again."
        ) from error


def to_tensor(pictures: Sequence[Pixels]) -> Tensor:
    """n pictures (h, w, 3) uint8 -> (n, 3, h, w) fp32 in [0, 1]."""
    import torch

    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float().div(255).contiguous()


def to_pixels(photos: Tensor) -> list[Pixels]:
    """(n, 3, h, w) in [0, 1] -> n pictures (h, w, 3) uint8, rounded to the nearest level.

    Raises:
        BenchError: a value is not finite; NaN would otherwise become a black picture, which looks like protection.
    """
    import torch

    if not bool(torch.isfinite(photos).all()):
        raise BenchError("A picture has values that are not finite.", "Lower the learning rate, or use precision=fp32.")
    levels = photos.detach().cpu().clamp(0, 1).mul(255).round().to(torch.uint8)
    return list(levels.permute(0, 2, 3, 1).contiguous().numpy())
