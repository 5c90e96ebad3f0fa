"""Countermeasures: what an attacker or a platform does to cloaked photos before the attack.

Several can follow each other: `countermeasure=[resize,jpeg]`. Every one has its published default.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bench.core.registry import Registry
from bench.core.types import Pixels
from countermeasures.builtin import BUILTIN

if TYPE_CHECKING:
    import torch

    from bench.models.diffusion.base import DiffusionModel


@dataclass(frozen=True)
class Countermeasure(ABC):
    """Base class of all countermeasures. Fields are the `countermeasure.` settings."""

    moves: ClassVar[bool] = False
    """Whether it puts what was in one place into another: no cloak can be made through it (`defenses.adaptive`)."""

    def files(self) -> dict[str, str]:
        """Setting -> hash of the files that it names: results depend on them, and not on where they lie.

        Raises:
            BenchError: a file is missing or damaged.
        """
        return {}

    @property
    def unet_only(self) -> str:
        """What it does that only a U-Net allows, as "it compares attention maps"; empty if it works on any base."""
        return ""

    @abstractmethod
    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        """Treat photos (h, w, 3) uint8, as they would be found on the web; all randomness is in `generator`."""


@dataclass(frozen=True)
class Purifier(Countermeasure):
    """Base class of those that need a diffusion model: the attacker's base, before any personalisation."""

    @abstractmethod
    def purify(self, photos: list[Pixels], generator: torch.Generator, base: DiffusionModel) -> list[Pixels]:
        """Treat photos (h, w, 3) uint8 with a model; all randomness is in `generator`."""

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        raise TypeError(f"{type(self).__name__} needs a model: call purify")


COUNTERMEASURES: Registry[Countermeasure] = Registry(
    "countermeasure", "cloakbench.countermeasures", BUILTIN, several=True
)
