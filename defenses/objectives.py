"""What cloaks make large or small, as functions of photos (n, 3, h, w) in [0, 1]."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from bench.models.base import Base


def denoising_loss(base: Base, prompt: str, count: int, generator: torch.Generator) -> Callable[[Tensor], Tensor]:
    """The mean denoising loss of a base on `count` photos with one caption; each call draws its own noise.

    The caption is encoded now: the base's text encoder must not change while the objective is in use.
    """
    with torch.no_grad():
        condition = base.condition([prompt]).expand(count)

    def loss(photos: Tensor) -> Tensor:
        return base.denoising_errors(base.encode(photos, generator), condition, generator).mean()

    return loss
