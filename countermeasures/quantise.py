"""Fewer levels per colour: small changes are rounded away."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from bench.core.ranges import Range
from bench.core.types import Pixels
from countermeasures import Countermeasure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Quantise(Countermeasure):
    """Round every value to one of some levels, evenly spaced from black to white, as GAP-Diff tests against.

    Attributes:
        levels: how many, 2 to 256; 64 are 6 bits.
    """

    levels: Annotated[int, Range(ge=2, le=256, unit="levels per colour")] = 64

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        step = 255 / (self.levels - 1)
        return [(np.round(photo / step) * step).round().astype(np.uint8) for photo in photos]
