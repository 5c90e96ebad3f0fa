"""LoRA of several people at once: every factor has a slice for each of them, whose samples lie side by side.

Only the factors are replaced: the layers around them stay those of peft, so that taking them out is the same.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional


class _Factor(nn.Module, ABC):
    """One factor of every person's update; `weight` is (people, ...)."""

    def __init__(self, layer: Any, weight: Tensor) -> None:
        super().__init__()
        self.layer = [layer]  # in a list it is no part, with a weight of its own
        self.weight = nn.Parameter(weight)

    def forward(self, samples: Tensor) -> Tensor:
        """(people x n, ...) samples."""
        parts = samples.reshape(len(self.weight), -1, *samples.shape[1:])
        return self.of_each(parts).flatten(0, 1)

    @abstractmethod
    def of_each(self, parts: Tensor) -> Tensor:
        """(people, n, ...) -> (people, n, ...)."""


class _Linear(_Factor):
    def of_each(self, parts: Tensor) -> Tensor:
        """(people, n, ..., dim) -> (people, n, ..., other dim)."""
        product = torch.bmm(parts.flatten(1, -2), self.weight.mT)
        return product.reshape(*parts.shape[:-1], -1)


class _Convolution(_Factor):
    def of_each(self, parts: Tensor) -> Tensor:
        """(people, n, c, h, w) -> (people, n, other c, h, w): a group of channels for each person."""
        layer, people = self.layer[0], len(self.weight)
        grouped: Tensor = functional.conv2d(
            parts.transpose(0, 1).flatten(1, 2),
            self.weight.flatten(0, 1),
            stride=layer.stride,
            padding=layer.padding,
            groups=people,
        )
        return grouped.reshape(len(grouped), people, -1, *grouped.shape[2:]).transpose(0, 1)


def stack(module: nn.Module, weights: Mapping[str, Tensor]) -> None:
    """Replace factors of a module's adapters.

    Args:
        module: with adapters of peft.
        weights: name of the factor's weight -> (people, ...).
    """
    for name, weight in weights.items():
        place, _, _ = name.rpartition(".")
        layer = module.get_submodule(place)
        kind = _Convolution if isinstance(layer, nn.Conv2d) else _Linear
        module.set_submodule(place, kind(layer, weight))
