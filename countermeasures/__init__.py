"""Countermeasures: what an attacker or a platform does to cloaked photos before the attack."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.registry import Registry
from bench.types import Pixels

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class Countermeasure(ABC):
    """Base class of all countermeasures. Fields are the `countermeasure.` settings."""

    @abstractmethod
    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        """Treat photos (h, w, 3) uint8, as they would be found on the web; all randomness is in `generator`."""


COUNTERMEASURES: Registry[Countermeasure] = Registry(
    "countermeasure",
    "cloakbench.countermeasures",
    {"none": "countermeasures.none:NoCountermeasure", "jpeg": "countermeasures.jpeg:Jpeg"},
)
