"""Defenses: what makes a cloak.

A defense is a dataclass with a `protect` method. It returns photos in [0, 1]; the protect stage, not the defense,
quantises, saves, re-reads and audits them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from bench.registry import Registry
from bench.types import Budget

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bench.models.base import Base


def _ignore(share: float) -> None:
    """Progress that nobody watches."""
    del share


@dataclass
class Context:
    """What a defender has.

    Attributes:
        surrogates: bases to optimise against; lent out, and restored by the stage afterwards.
        reference: (m, 3, h, w) clean photos of the same person, in [0, 1] (set A).
        budget: the largest change allowed.
        generator: the only source of randomness, on the CPU.
        class_photos: `class_photos(base, count)` -> (count, 3, h, w) pictures of "a photo of person" made by that
            base, for prior preservation; generated once and kept.
        progress: call it with the share done, in [0, 1].
    """

    surrogates: Sequence[Base]
    reference: Tensor
    budget: Budget
    generator: torch.Generator
    class_photos: Callable[[Base, int], Tensor]
    progress: Callable[[float], None] = _ignore


@dataclass(frozen=True)
class Defense(ABC):
    """Base class of all defenses. Fields are the `defense.` settings."""

    needs_surrogate: ClassVar[bool] = True
    """Whether the defense looks at `Context.surrogates`; one that does not is protected once for all of them."""

    def resolved(self, family: str) -> Defense:
        """This defense with settings that depend on the surrogate's family (`facelet`, `sd`) filled in."""
        return self

    @abstractmethod
    def protect(self, photos: Tensor, context: Context) -> Tensor:
        """Cloak photos (n, 3, h, w) in [0, 1] within `context.budget`; returns the same shape and range."""


DEFENSES: Registry[Defense] = Registry(
    "defense",
    "cloakbench.defenses",
    {
        "none": "defenses.none:NoDefense",
        "noise": "defenses.noise:Noise",
        "advdm": "defenses.advdm:AdvDM",
        "aspl": "defenses.aspl:Aspl",
        "photoguard": "defenses.photoguard:PhotoGuard",
    },
)
