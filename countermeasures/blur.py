"""Gaussian blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from scipy.ndimage import gaussian_filter

from bench.core.ranges import Range
from bench.core.types import Pixels
from countermeasures import Countermeasure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Blur(Countermeasure):
    """Gaussian blur with MetaCloak's kernel of 7 pixels.

    Attributes:
        kernel: side in pixels, odd.
        sigma: in pixels; null takes torchvision's 0.15 kernel + 0.35, which is 1.4 for 7.
    """

    kernel: Annotated[int, Range(ge=1, le=127, unit="pixels, odd")] = 7
    sigma: Annotated[float, Range(gt=0, le=100, unit="pixels")] | None = None

    def __post_init__(self) -> None:
        if self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd, not {self.kernel}")

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        sigma = 0.15 * self.kernel + 0.35 if self.sigma is None else self.sigma
        options = {"sigma": sigma, "radius": self.kernel // 2, "mode": "mirror", "axes": (0, 1)}
        blurred = [gaussian_filter(photo.astype(np.float64), **options) for photo in photos]
        return [photo.round().clip(0, 255).astype(np.uint8) for photo in blurred]
