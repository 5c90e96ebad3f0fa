"""JPEG as a control: what a platform does anyway, as far as the budget allows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from torch import Tensor

from bench.core.images import jpeg, to_pixels, to_tensor
from bench.core.ranges import Quality
from defenses import Context, Defense
from defenses.pgd import project


@dataclass(frozen=True)
class Jpeg(Defense):
    """Control: compressed photos; changes beyond the budget are cut off.

    Attributes:
        quality: Pillow's quality, 1 to 100; above 95 files grow and photos hardly change.
    """

    needs_surrogate: ClassVar[bool] = False

    quality: Quality = 75

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        compressed = to_tensor([jpeg(photo, self.quality) for photo in to_pixels(photos)]).to(photos)
        return project(compressed, photos, context.budget)
