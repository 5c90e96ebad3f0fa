"""Attacks: what personalises a base model on somebody's photos.

The life of an attack: `prepare(base)` once, then for each person `fit(photos, ...)` and `generate(artifact, ...)`,
and `reset()`, after which the base is exactly as it was loaded.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, ClassVar

from attacks.builtin import BUILTIN
from bench.core.errors import BenchError
from bench.core.ranges import Several
from bench.core.registry import Registry

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from bench.models.diffusion.base import DiffusionModel
    from bench.models.diffusion.latents import Posterior
    from bench.models.diffusion.recipe import Recipe


@dataclass
class FitContext:
    """What an attacker has besides the photos.

    Attributes:
        generator: the only source of randomness of the fit, on the CPU; the same for every defense.
        class_latents: `class_latents(base, count)` -> the VAE's distribution over latents of so many pictures of "a
            photo of person" by that base, for prior preservation; made and encoded once.
        progress: call it with the share done, in [0, 1].
    """

    generator: torch.Generator
    class_latents: Callable[[DiffusionModel, int], Posterior]
    progress: Callable[[float], None] | None = None


Artifact = dict[str, "Tensor"]
"""What a fit leaves behind: named tensors that `generate` can start from, in this process or a later one."""


@dataclass
class Attack(ABC):
    """Base class of all attacks. Fields with `init=True` are the `attack.` settings.

    Attributes:
        clean_photos: so many of the photos, the first ones, the attacker has uncloaked: published before the person
            had a cloak, say (Anti-DreamBooth's uncontrolled setting; there the clean photos are others, of set C).
    """

    base: DiffusionModel = field(init=False, repr=False, compare=False)
    clean_photos: Several = field(default=0, kw_only=True)

    needs_photos: ClassVar[bool] = True
    """Whether the result depends on the photos at all; the control without personalisation does not."""

    stays: ClassVar[bool] = False
    """Whether `load` puts the same into the base whoever it is for, and `fit` needs nothing of the base: then it may
    stay there for the next cell of the same attack."""

    families: ClassVar[tuple[str, ...]] = ()
    """Families of bases (`model.family`) that it works on; empty for all that `unet_only` allows."""

    stacks: ClassVar[bool] = False
    """Whether `fit_many` trains all in one pass, so that a run with `fits_together` hands it several."""

    @property
    def subject(self) -> str:
        """What stands for the person in the prompt templates' `{subject}`."""
        return "sks person"

    @property
    def avoided(self) -> str:
        """A text that pictures are guided away from (a negative prompt); empty for none."""
        return ""

    reserved: ClassVar[tuple[str, ...]] = ("sks",)
    """Words that the attack puts into a prompt itself, as part of what stands for the person."""

    def check_prompt(self, template: str) -> None:
        """Whether this attack can use a prompt, a template with `{subject}`.

        Raises:
            BenchError: it cannot, or the prompt has a word that the attack will put there, too.
        """
        words = template.lower().replace("{subject}", " ").split()
        for word in words:
            if word.strip(".,;:!?\"'()") in self.reserved:
                raise BenchError(
                    f"The prompt {template!r} has {word!r}, which {{subject}} stands for already: {self.subject!r}.",
                    "Leave the word out.",
                )

    def longest(self, template: str, photos: int) -> str:
        """A text of as many tokens as what the text encoder reads for a prompt, to count them before any work.

        Args:
            template: the prompt, with `{subject}`.
            photos: how many photos of the person there are.
        """
        del photos
        return template.format(subject=self.subject)

    @property
    def unet_only(self) -> str:
        """What it does that only a U-Net allows, as "it compares attention maps"; empty if it works on any base."""
        return ""

    def files(self, base_name: str) -> dict[str, str]:
        """Fingerprints, by name, of the files this attack brings along for a base: its results depend on them.

        Raises:
            BenchError: a file is missing or damaged.
        """
        return {}

    def resolved(self, family: str) -> Attack:
        """This attack with settings that depend on the base's family (`facelet`, `sd`) filled in."""
        return self

    def prepare(self, base: DiffusionModel) -> None:
        """Take a base model on loan; `reset` gives it back."""
        self.base = base

    @abstractmethod
    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        """Personalise on photos (n, 3, h, w) in [0, 1].

        Raises:
            FitFailed: these photos cannot be used.
        """

    def fit_many(self, photos: Sequence[Tensor], contexts: Sequence[FitContext]) -> list[Artifact]:
        """Personalise on the photos of several people, or on several cloaks of one: (n, 3, h, w) each, of one shape.

        Each has the draws of its own `fit`, and the same result but for rounding. An attack that `stacks` must not let
        a bit of a result depend on who the others are, nor on the order; on how many there are it may. What diverges
        is returned as it is.
        """
        return [self.fit(own, context) for own, context in zip(photos, contexts, strict=True)]

    @abstractmethod
    def load(self, artifact: Artifact) -> None:
        """Put a fit's result into the base."""

    def generate(
        self, artifact: Artifact, templates: Sequence[str], noise: Tensor, steps: int, guidance: float
    ) -> Tensor:
        """Pictures of the person.

        Args:
            artifact: what `fit` returned.
            templates: n prompts with `{subject}`, one per picture.
            noise: (n, c, h, w) initial latents, the same for every defense.
            steps: sampler steps.
            guidance: guidance scale.

        Returns:
            (n, 3, h, w) in [0, 1].
        """
        import torch

        self.load(artifact)
        with torch.no_grad():
            condition = self.base.condition([template.format(subject=self.subject) for template in templates])
            avoided = self.base.condition([self.avoided]) if self.avoided else None
            return self.base.sample(condition, noise, steps, guidance, away_from=avoided)

    def reset(self) -> None:
        """Restore the base exactly."""
        self.base.restore()


def personalise(
    base: DiffusionModel, weights: Sequence[torch.nn.Parameter], photos: Tensor, recipe: Recipe, context: FitContext
) -> None:
    """Fine-tune `weights` of a base on photos (n, 3, h, w) in [0, 1], with class pictures if the recipe wants them."""
    from bench.models.diffusion.finetuning import finetune

    latents, class_images = _encoded(base, photos, recipe, context)
    finetune(base, weights, latents, recipe, context.generator, class_images, context.progress)


def personalise_many(
    base: DiffusionModel,
    insert: Callable[[], Sequence[torch.nn.Parameter]],
    photos: Sequence[Tensor],
    recipe: Recipe,
    contexts: Sequence[FitContext],
) -> None:
    """The same for several people at once.

    Args:
        base: the model.
        insert: puts weights of everybody's own, (people, ...) each, into the base, which from then on reads and sees
            batches of that many people alone: class pictures are made before.
        photos: (n, 3, h, w) in [0, 1], of each.
        recipe: how.
        contexts: each one's.
    """
    from bench.models.diffusion.finetuning import finetune_many

    def progress(share: float) -> None:
        for context in contexts:
            if context.progress is not None:
                context.progress(share)

    encoded = [_encoded(base, own, recipe, context) for own, context in zip(photos, contexts, strict=True)]
    latents, class_images = zip(*encoded, strict=True)
    generators = [context.generator for context in contexts]
    finetune_many(base, insert(), latents, recipe, generators, class_images, progress)


def _encoded(
    base: DiffusionModel, photos: Tensor, recipe: Recipe, context: FitContext
) -> tuple[Posterior, Posterior | None]:
    """The VAE's distribution of photos (n, 3, h, w) in [0, 1], and of class pictures if the recipe wants them."""
    import torch

    with torch.no_grad():
        latents = base.posterior(photos)
        class_latents = context.class_latents(base, recipe.class_count) if recipe.wants_class_images else None
    return latents, class_latents


ATTACKS: Registry[Attack] = Registry("attack", "cloakbench.attacks", BUILTIN)
