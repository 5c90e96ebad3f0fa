"""Gaussian blur."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np
from scipy.ndimage import correlate1d

from bench.core.ranges import Range
from bench.core.types import Array, Pixels
from countermeasures import Countermeasure
from countermeasures.picture_scale import picture_scale, resampled

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Blur(Countermeasure):
    """Gaussian blur with MetaCloak's kernel of 7 pixels at 512 px, and in proportion at other sizes.

    Attributes:
        kernel_at_512: side in pixels on a photo of 512 px, odd.
        sigma_at_512: likewise; null takes torchvision's 0.15 kernel + 0.35, which is 1.4 for 7.
    """

    kernel_at_512: Annotated[int, Range(ge=1, le=127, unit="pixels at 512 px, odd")] = 7
    sigma_at_512: Annotated[float, Range(gt=0, le=100, unit="pixels at 512 px")] | None = None

    def __post_init__(self) -> None:
        if self.kernel_at_512 % 2 == 0:
            raise ValueError(f"kernel_at_512 must be odd, not {self.kernel_at_512}")

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        return [self._blurred(photo) for photo in photos]

    def _blurred(self, photo: Pixels) -> Pixels:
        kernel = resampled(self._kernel(), picture_scale(photo.shape[:2]))
        values = photo.astype(np.float64)
        for axis in (0, 1):
            values = correlate1d(values, kernel, axis, mode="mirror")
        return values.round().clip(0, 255).astype(np.uint8)

    def _kernel(self) -> Array:
        """(kernel,) of a photo of 512 px."""
        sigma = 0.15 * self.kernel_at_512 + 0.35 if self.sigma_at_512 is None else self.sigma_at_512
        offsets = np.arange(self.kernel_at_512) - self.kernel_at_512 // 2
        values: Array = np.exp(-(offsets**2) / (2 * sigma**2))
        values /= values.sum()
        return values
