"""How to fine-tune, as plain values."""

from __future__ import annotations

import dataclasses
from typing import Any


@dataclasses.dataclass(frozen=True)
class Recipe:
    """How to fine-tune.

    Attributes:
        steps: optimiser steps.
        learning_rate: AdamW learning rate, constant.
        batch: photos per step; the photos are gone through in turn, with fresh noise each time.
        weight_decay: AdamW weight decay.
        prior_weight: weight of the prior-preservation loss on class pictures; 0 leaves it out.
        class_count: class pictures for the prior.
        prompt: caption of the person's photos.
        class_prompt: caption of the class pictures.
        max_norm: gradient-norm clip.
    """

    steps: int
    learning_rate: float
    batch: int
    weight_decay: float = 1e-2
    prior_weight: float = 0.0
    class_count: int = 0
    prompt: str = "a photo of sks person"
    class_prompt: str = "a photo of person"
    max_norm: float = 1.0

    @classmethod
    def of(cls, method: Any, **settings: Any) -> Recipe:
        """The recipe in a method's settings (after `resolved`); `settings` add to them or replace them."""
        names = [field.name for field in dataclasses.fields(cls) if hasattr(method, field.name)]
        return cls(**({name: getattr(method, name) for name in names} | settings))

    @property
    def wants_class_images(self) -> bool:
        """Whether the prior-preservation loss is on."""
        return self.prior_weight > 0 and self.class_count > 0
