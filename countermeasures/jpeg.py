"""JPEG compression, as most platforms do on upload."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.core.images import jpeg
from bench.core.ranges import Quality
from bench.core.types import Pixels
from countermeasures import Countermeasure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Jpeg(Countermeasure):
    """JPEG compression with 4:2:0 chroma.

    Attributes:
        quality: Pillow's quality, 1 to 100; above 95 files grow and photos hardly change.
    """

    quality: Quality = 75

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        return [jpeg(photo, self.quality) for photo in photos]
