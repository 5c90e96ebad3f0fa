"""Shrinking and enlarging again, as platforms and training scripts do."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from PIL import Image

from bench.core.ranges import SomeShare
from bench.core.types import Pixels
from countermeasures import Countermeasure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Resize(Countermeasure):
    """Shrink, then enlarge to the old size; bicubic both ways.

    Attributes:
        factor: of the sides, above 0 and at most 1.
    """

    factor: SomeShare = 0.5

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        return [self._resized(Image.fromarray(photo)) for photo in photos]

    def _resized(self, photo: Image.Image) -> Pixels:
        small = photo.resize([max(1, round(edge * self.factor)) for edge in photo.size], Image.Resampling.BICUBIC)
        return np.asarray(small.resize(photo.size, Image.Resampling.BICUBIC))
