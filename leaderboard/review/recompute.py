"""The scores of a cell once more, from what its record says about every single picture."""

from __future__ import annotations

import numpy as np

from bench.results.leaks import as_array, is_measured, judges_of, leaks, likeness
from bench.results.record import Record
from metrics import identity

SCORES = ("fdfr", "ism_detected", "ism_zero", "ilr", "ilr_matched", "likeness")
"""Scores that pictures alone decide; the last two came with protocol 2."""

TOLERANCE = 1e-9
"""The same formula on the same numbers; a platform may add them up in another order."""


def scores(record: Record) -> dict[str, float | None]:
    """`SCORES` of a record; None where its pictures or its thresholds are missing."""
    values: dict[str, float | None] = dict.fromkeys(SCORES)
    if not is_measured(record):
        return values
    cosines = as_array([image.similarity for image in record.images])
    values |= {
        "fdfr": identity.fdfr(cosines),
        "ism_detected": identity.ism_detected(cosines),
        "ism_zero": identity.ism_zero(cosines),
        "ilr": identity.ilr(leaks(record)),
    }
    if judges_of(record):
        values |= {"ilr_matched": identity.ilr(leaks(record, "ilr_matched")), "likeness": likeness(record)}
    return values


def gap(left: float | None, right: float | None) -> float:
    """How far two values are apart; infinitely, if only one of them exists."""
    if left is None or right is None:
        return 0.0 if left is right else np.inf
    return abs(left - right)
