"""The scores of a cell once more, from what its record says about every single picture."""

from __future__ import annotations

import numpy as np

from bench.results.record import Record
from metrics import identity

SCORES = ("fdfr", "ism_detected", "ism_zero", "ilr")
"""Scores that pictures alone decide."""

TOLERANCE = 1e-9
"""The same formula on the same numbers; a platform may add them up in another order."""


def scores(record: Record) -> dict[str, float | None]:
    """`SCORES` of a record; None where its pictures or its threshold are missing."""
    if not record.images or "ilr" not in record.thresholds:
        return dict.fromkeys(SCORES)
    found = np.array([np.nan if i.similarity is None else i.similarity for i in record.images], dtype=np.float64)
    return {
        "fdfr": identity.fdfr(found),
        "ism_detected": identity.ism_detected(found),
        "ism_zero": identity.ism_zero(found),
        "ilr": identity.ilr(found, record.thresholds["ilr"]),
    }


def gap(left: float | None, right: float | None) -> float:
    """How far two values are apart; infinitely, if only one of them exists."""
    if left is None or right is None:
        return 0.0 if left is right else np.inf
    return abs(left - right)
