"""Random crops, enlarged to the old size."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from PIL import Image

from bench.core.ranges import SomeShare
from bench.core.types import Pixels
from countermeasures import Countermeasure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Crop(Countermeasure):
    """Cut out a random part of the same shape and enlarge it again, bicubic.

    IDProtector draws the scale from 0.9 to 1; here it is fixed, so that all photos are treated alike.

    Attributes:
        scale: side of the part, above 0 and at most 1.
    """

    moves: ClassVar[bool] = True

    scale: SomeShare = 0.9

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        return [self._cropped(Image.fromarray(photo), generator) for photo in photos]

    def _cropped(self, photo: Image.Image, generator: torch.Generator) -> Pixels:
        import torch

        width, height = (max(1, round(edge * self.scale)) for edge in photo.size)
        across, down = torch.rand(2, generator=generator).tolist()
        left, top = round(across * (photo.width - width)), round(down * (photo.height - height))
        part = photo.crop((left, top, left + width, top + height))
        return np.asarray(part.resize(photo.size, Image.Resampling.BICUBIC))
