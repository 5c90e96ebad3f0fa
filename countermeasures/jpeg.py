"""JPEG compression, as most platforms do on upload."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bench.types import Pixels
from countermeasures import Countermeasure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Jpeg(Countermeasure):
    """JPEG compression with 4:2:0 chroma.

    Attributes:
        quality: Pillow's quality, 1 to 95.
    """

    quality: int = 75

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        return [self._compress(photo) for photo in photos]

    def _compress(self, photo: Pixels) -> Pixels:
        buffer = io.BytesIO()
        Image.fromarray(photo).save(buffer, format="JPEG", quality=self.quality, subsampling="4:2:0")
        with Image.open(buffer) as image:
            return np.asarray(image.convert("RGB"))
