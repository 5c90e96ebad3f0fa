"""A face as recognisers describe it."""

from __future__ import annotations

from dataclasses import dataclass

from bench.core.types import Array

Box = tuple[float, float, float, float]
"""Left, top, right, bottom as fractions of the picture's width and height; may reach outside [0, 1]."""


@dataclass(frozen=True)
class Face:
    """One face in a picture.

    Attributes:
        box: where it is.
        score: the detector's confidence, on a scale of its own.
        embedding: (d,) centred and L2-normalised descriptor.
    """

    box: Box
    score: float
    embedding: Array

    @property
    def area(self) -> float:
        left, top, right, bottom = self.box
        return (right - left) * (bottom - top)
