"""The cloaked photos reach the attacker as they were saved."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.core.types import Pixels
from countermeasures import Countermeasure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class NoCountermeasure(Countermeasure):
    """The photos as they were saved."""

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        return photos
