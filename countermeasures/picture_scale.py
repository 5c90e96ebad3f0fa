"""Strengths in pixels follow the photo's size: settings say what they are at 512 px, where the published ones are from.

A blur of 7 px smooths eyelashes away at 512 px, and at 128 px, where it reaches as far as 28 px did, whole eyes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.core.types import Array

FULL_SIZE = 512
"""Side of a photo in pixels at which settings are taken as they are."""


def picture_scale(shape: Sequence[int]) -> float:
    """Size of a photo of (height, width), in photos of full size: a quarter at 128 px."""
    return min(shape) / FULL_SIZE


def resampled(kernel: Array, scale: float) -> Array:
    """A kernel of odd length for photos of another size: `scale` times as wide, with as large a sum.

    Its values are interpolated by the cubic of Keys 1981 (a = -1/2), which keeps the variance where a kernel becomes
    narrower than the pixels that it is sampled at. At scale 1 the kernel stays as it is.
    """
    width, radius = max(1.0, scale), len(kernel) // 2
    reach = math.ceil(radius * scale + 2 * width) - 1  # the cubic is 0 from 2 on
    offsets, places = np.arange(-reach, reach + 1), scale * np.arange(-radius, radius + 1)
    values: Array = _cubic((offsets[:, None] - places) / width) @ kernel
    values *= kernel.sum() / values.sum()
    return values


def _cubic(distance: Array) -> Array:
    """Keys 1981, equation 4 with a = -1/2."""
    x = np.abs(distance)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    values: Array = np.where(x < 1, near, np.where(x < 2, far, 0.0))
    return values
