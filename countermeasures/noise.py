"""Gaussian noise: drown a cloak in another one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.core.images import to_pixels, to_tensor
from bench.core.ranges import Sigma
from bench.core.types import Pixels
from countermeasures import Countermeasure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class GaussianNoise(Countermeasure):
    """Independent normal noise on every value, as GAP-Diff and RID test against.

    Attributes:
        sigma: standard deviation, of values in [0, 1].
    """

    sigma: Sigma = 0.05

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        import torch

        noisy = []
        for photo in photos:
            values = to_tensor([photo])
            noisy += to_pixels(values + self.sigma * torch.randn(values.shape, generator=generator))
        return noisy
