"""Pictures that a formula draws."""

from __future__ import annotations

import numpy as np

from bench.core.types import Pixels


def photo(rng: np.random.Generator, height: int = 40, width: int = 52) -> Pixels:
    """Smooth in places and rough in others, as photos are."""
    ramp = np.linspace(0, 200, width)[None, :, None] + np.zeros((height, 1, 3))
    return np.clip(ramp + rng.normal(0, 12, ramp.shape), 0, 255).astype(np.uint8)


def disturbed(clean: Pixels, rng: np.random.Generator, levels: int) -> Pixels:
    change = rng.integers(-levels, levels + 1, clean.shape)
    result: Pixels = np.clip(clean.astype(np.int16) + change, 0, 255).astype(np.uint8)
    return result


def constant(level: int, height: int = 16, width: int = 16) -> Pixels:
    return np.full((height, width, 3), level, np.uint8)
