"""The audit of saved cloaks: integers compared on the 8-bit file, with no tolerance."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from bench.core.errors import BenchError
from bench.core.types import Budget, Pixels


def linf(clean: Pixels, cloaked: Pixels) -> int:
    """Largest change of any value, in grey levels of 255."""
    return int(np.abs(clean.astype(np.int16) - cloaked.astype(np.int16)).max())


def audit(clean: Sequence[Pixels], cloaked: Sequence[Pixels], budget: Budget, defense: str) -> int:
    """The largest change of any photo in grey levels.

    Raises:
        BenchError: a photo is missing, has another size, or exceeds the budget.
    """
    if len(clean) != len(cloaked) or any(a.shape != b.shape for a, b in zip(clean, cloaked, strict=False)):
        raise BenchError(f"The defense {defense!r} changed the number or size of the photos.", "Return the same shape.")
    largest = max(linf(a, b) for a, b in zip(clean, cloaked, strict=True))
    if largest > budget.levels:
        raise BenchError(
            f"The defense {defense!r} exceeds its budget: {largest} grey levels on the saved PNG, {budget.levels:g} "
            "allowed.",
            "Project onto context.budget.radius as the last step (defenses.pgd.project does).",
        )
    return largest
