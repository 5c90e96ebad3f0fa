"""What attacks that fine-tune share: the recipe, and decoupled learning.

Decoupled learning (Liu et al., "Rethinking and red-teaming protective perturbation in personalized diffusion models",
arXiv 2406.18944): a cloak works by making the identifier mean its pattern. An attacker who knows that gives the pattern
words of its own. The person's photos are captioned with the identifier and with a token for the noise, class pictures,
which have no cloak, without it; and pictures are guided away from the token. The paper's restoration comes before the
attack, as a countermeasure: `countermeasure=[noisy_upscaling]`, or whatever purifies.

Different from the paper: one rare token stands for the pattern (theirs are words, "noisy pattern", which the embedded
text encoder does not know), and the guidance is away from that token alone, not from words of low quality too.
"""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass, field
from typing import Any, ClassVar, Self

from attacks import Attack
from bench.core.errors import BenchError
from bench.models.diffusion.recipe import Recipe

NOISE = "zwx"
"""A single token that no caption holds."""
CLASS_COUNT = {"facelet": 16}
"""Class pictures where a recipe has none, by family of the base; else as many as Anti-DreamBooth's."""


@dataclass
class FineTuning(Attack):
    """Base class of DreamBooth and LoRA.

    Attributes:
        decoupled: learn the cloak's pattern under a token of its own, and guide pictures away from it. Class pictures
            are part of that: without any in the recipe there are 200, of the embedded models 16.
    """

    decoupled: bool = field(default=False, kw_only=True)
    reserved: ClassVar[tuple[str, ...]] = ("sks", NOISE)

    def contrasted(self, family: str) -> Self:
        """With class pictures, if the pattern is decoupled and the recipe has none to tell it from.

        Raises:
            BenchError: the base cannot be guided away from anything, which decoupling wants.
        """
        if self.decoupled and family == "flux":
            raise BenchError(
                "attack.decoupled=true guides pictures away from a token, and FLUX has no second pass for that.",
                "Set attack.decoupled=false, or take another model.",
            )
        recipe = self.recipe
        if not self.decoupled or recipe.wants_class_images:
            return self
        more: dict[str, Any] = {
            "prior_weight": recipe.prior_weight or 1.0,
            "class_count": recipe.class_count or CLASS_COUNT.get(family, 200),
        }
        return dataclasses.replace(self, **more)

    @property
    def recipe(self) -> Recipe:
        """How to fine-tune, after `resolved`."""
        if not self.decoupled:
            return Recipe.of(self)
        return Recipe.of(self, prompt=f"{Recipe.prompt} with {NOISE}")

    @property
    def avoided(self) -> str:
        return NOISE if self.decoupled else ""
