"""No cloak: the control that shows how much an attack leaks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.core.deferred import Tensor
from defenses import Context, Defense


@dataclass(frozen=True)
class NoDefense(Defense):
    """Control: the photos as they are."""

    needs_surrogate: ClassVar[bool] = False

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        return photos
