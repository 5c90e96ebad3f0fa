"""The metrics that the board can be read by."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

SCALE = 10_000
"""Values are sent to the page as whole multiples of 1 / SCALE."""


@dataclass(frozen=True)
class Measure:
    """A metric of one cell.

    Attributes:
        key: its name in records.
        name: its name on the page.
        lower: whether lower is better for the person who is to be protected.
        low, high: what it can be.
        text: what it is, in one sentence, and its pitfall.
    """

    key: str
    name: str
    lower: bool
    low: float
    high: float
    text: str

    def facts(self) -> dict[str, Any]:
        """Plain values."""
        return asdict(self)


MEASURES = (
    Measure(
        "ilr",
        "identity leak rate",
        True,
        0,
        1,
        "Share of the generated pictures that show a face which the judge takes for the person, at the threshold that "
        "lets one stranger in a hundred pass. A picture without a face is not a leak.",
    ),
    Measure(
        "ism_zero",
        "similarity, no face as 0",
        True,
        -1,
        1,
        "Mean cosine between generated faces and the person's clean photos; pictures without a face count as 0.",
    ),
    Measure(
        "fdfr",
        "no face found",
        False,
        0,
        1,
        "Share of the generated pictures in which the judge finds no face. High values may mean a cloak that ruins "
        "pictures, or an attack that never worked: compare with the clean photos.",
    ),
)
