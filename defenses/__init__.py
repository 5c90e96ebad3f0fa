"""Defenses: what makes a cloak.

A defense is a dataclass with a `protect` method. It returns photos in [0, 1]; the protect stage, not the defense,
quantises, saves, re-reads and audits them.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, ClassVar, Self, TypeAlias, TypeVar

from bench.config.schema import FLOW
from bench.core.presets import fill
from bench.core.registry import Registry
from bench.core.types import Budget, Identity
from defenses.builtin import BUILTIN

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bench.models.diffusion.base import DiffusionModel
    from bench.models.diffusion.latents import Posterior
    from bench.models.diffusion.recipe import Recipe

Pretuned: TypeAlias = "Callable[[DiffusionModel, Tensor, Recipe], DiffusionModel]"
"""`pretuned(base, photos, recipe)`: a frozen copy of a base whose UNet has learned photos (m, 3, h, w) in [0, 1]."""


PHOTOS = 4
"""Photos of a person that are usually cloaked together, and that a defender has besides."""


P = TypeVar("P")


def ignore(share: float) -> None:
    """Progress that nobody watches."""
    del share


def nobody(*_: Any) -> DiffusionModel:
    """A `Pretuned` where nothing is learned beforehand."""
    raise LookupError("nothing was to be learned beforehand here")


@dataclass
class Context:
    """What a defender has.

    Attributes:
        surrogates: bases to optimise against; lent out, and restored by the stage afterwards.
        reference: (m, 3, h, w) clean photos of the same person, in [0, 1] (set A).
        budget: the largest change allowed.
        generator: the only source of randomness, on the CPU.
        class_latents: `class_latents(base, count)` -> the VAE's distribution over latents of so many pictures of "a
            photo of person" by that base, for prior preservation; made and encoded once.
        pretuned: what a base learns of clean photos, with randomness of its own; done once for all cloaks that state
            it by `Defense.pretuning`.
        progress: call it with the share done, in [0, 1].
        identity: name of the person.
        names: file names of the photos to cloak, in their order.
    """

    surrogates: Sequence[DiffusionModel]
    reference: Tensor
    budget: Budget
    generator: torch.Generator
    class_latents: Callable[[DiffusionModel, int], Posterior]
    pretuned: Pretuned = nobody
    progress: Callable[[float], None] = ignore
    identity: str = ""
    names: Sequence[str] = ()


@dataclass(frozen=True)
class Defense(ABC):
    """Base class of all defenses. Fields are the `defense.` settings."""

    needs_surrogate: ClassVar[bool] = True
    """Whether the defense looks at `Context.surrogates`; one that does not is protected once for all of them."""

    paper: ClassVar[str] = ""
    """Where and when the method was published."""

    families: ClassVar[tuple[str, ...]] = ()
    """Families of bases (`model.family`) that it optimises against; empty for all that `unet_only` allows."""

    loop: ClassVar[str] = ""
    """The setting that says how often the cloak's loop turns, which `effort=equal` sets; empty if there is no loop."""

    def evaluations(self, turns: int) -> float:
        """Network evaluations a photo if the loop turns so often, of `PHOTOS` photos and as many reference photos.

        What counts is a sample's pass through the UNet, with gradients or without; where a defense has no use for the
        UNet, one through the encoders that it looks through. More turns never take fewer.
        """
        del turns
        return 0

    def taught(self, reference: Sequence[P], photos: Sequence[P]) -> list[P]:
        """The clean photos of a person that a surrogate learns beforehand (`pretuning`): here the reference photos."""
        del photos
        return list(reference)

    @property
    def effort(self) -> int | None:
        """Network evaluations a photo with these settings, rounded; None without a loop. Presets must be filled in."""
        return round(self.evaluations(getattr(self, self.loop))) if self.loop else None

    def at_effort(self, wanted: int) -> Self:
        """This defense, its loop as long as comes nearest to so many network evaluations a photo; at least one turn.

        Without a loop, or where its turns cost nothing (DLADiff's second layer alone), it stays as it is.
        """
        if not self.loop or self.evaluations(2) <= self.evaluations(1):
            return self
        turns = 1
        while self.evaluations(turns) < wanted:
            turns += 1
        nearest = min((turns, max(1, turns - 1)), key=lambda each: abs(self.evaluations(each) - wanted))
        return replace(self, **{self.loop: nearest})

    def files(self) -> dict[str, str]:
        """Setting -> hash of the files that it names: results depend on them, and not on where they lie.

        Raises:
            BenchError: a file is missing or damaged.
        """
        return {}

    def check(self, person: Identity, budget: Budget) -> None:  # noqa: B027  # most can cloak any photos
        """Refuse photos that cannot be cloaked within a budget; asked for everybody before any work.

        Raises:
            BenchError: names every photo that is wrong, and how.
        """

    @property
    def unet_only(self) -> str:
        """What it does that only a U-Net allows, as "it compares attention maps"; empty if it works on any base."""
        return ""

    def pretuning(self, references: int) -> Recipe | None:
        """How a copy of the first surrogate learns so many reference photos before the cloak; None if it does not.

        What is said here and then asked of `Context.pretuned` is computed once for all budgets and settings that it
        does not depend on, and is an output of its own.
        """
        return None

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {}
    """Named settings of a defense with a `preset` field: "auto" takes that of the surrogate's family, or the first."""

    on_transformers: ClassVar[Mapping[str, Any]] = {}
    """What presets say instead for the flow-matching transformers' families; None leaves a setting open."""

    def resolved(self, family: str) -> Self:
        """This defense with settings that depend on the surrogate's family (`facelet`, `sd`) filled in."""
        if not self.presets:
            return self
        presets = self.presets
        if family in FLOW.values():
            presets = {name: {**preset, **self.on_transformers} for name, preset in presets.items()}
        return fill(self, presets, family if family in presets else next(iter(presets)))

    @abstractmethod
    def protect(self, photos: Tensor, context: Context) -> Tensor:
        """Cloak photos (n, 3, h, w) in [0, 1] within `context.budget`; returns the same shape and range."""


DEFENSES: Registry[Defense] = Registry("defense", "cloakbench.defenses", BUILTIN)
