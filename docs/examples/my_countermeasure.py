"""A mirror: what a platform may do to a photo."""

from dataclasses import dataclass
from typing import ClassVar

import torch

from bench.core.types import Pixels
from countermeasures import COUNTERMEASURES, Countermeasure


@COUNTERMEASURES.register("mirror")
@dataclass(frozen=True)
class Mirror(Countermeasure):
    """Mirror every photo left to right."""

    moves: ClassVar[bool] = True

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        return [photo[:, ::-1].copy() for photo in photos]
