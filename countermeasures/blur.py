"""Gaussian blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.ndimage import gaussian_filter

from bench.types import Pixels
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

    kernel: int = 7
    sigma: float | None = None

    def __post_init__(self) -> None:
        if self.kernel < 1 or self.kernel % 2 == 0:
            raise ValueError(f"kernel must be odd and positive, not {self.kernel}")

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        sigma = 0.15 * self.kernel + 0.35 if self.sigma is None else self.sigma
        options = {"sigma": sigma, "radius": self.kernel // 2, "mode": "mirror", "axes": (0, 1)}
        blurred = [gaussian_filter(photo.astype(np.float64), **options) for photo in photos]
        return [photo.round().clip(0, 255).astype(np.uint8) for photo in blurred]
