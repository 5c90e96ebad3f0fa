"""No personalisation: the control that shows how much the bare base model resembles the person by chance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from attacks import Artifact, Attack, FitContext
from bench.core.deferred import Tensor


@dataclass
class NoAttack(Attack):
    """Control: the base model, asked for the same prompts without having seen the photos."""

    needs_photos: ClassVar[bool] = False

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        return {}

    def load(self, artifact: Artifact) -> None:
        self.base.restore()
