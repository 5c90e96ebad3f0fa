"""The scores of a cell once more, from what its record says about every single picture."""

from __future__ import annotations

import numpy as np

from bench.results.leaks import as_array, is_measured, judges_of, leaks, likeness, similarity
from bench.results.record import Record
from metrics import identity

SCORES = ("fdfr", "ism_detected", "ism_zero", "ilr", "ilr_matched", "likeness")
"""Scores that pictures alone decide; the last two came with protocol 2."""

DRAWS = (4, 16)
"""Numbers of pictures of which one may leak: `any_leak@4`."""

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
    if judges := judges_of(record):
        values["likeness"] = likeness(record)
        if all(f"ilr_matched.{judge}" in record.thresholds for judge in judges):
            values["ilr_matched"] = identity.ilr(leaks(record, "ilr_matched"))
    return values


def further(record: Record) -> dict[str, float | None]:
    """Of a measured record, what records need not state and pictures decide all the same."""
    leaking = leaks(record)
    rates = {f"any_leak@{draws}": identity.any_leak(leaking, draws) for draws in DRAWS}
    for judge in judges_of(record):
        passing = identity.passing(similarity(record.images, judge), record.thresholds[f"ilr.{judge}"])
        rates[f"ilr.{judge}"] = identity.ilr(passing)
    return rates


def gap(left: float | None, right: float | None) -> float:
    """How far two values are apart; infinitely, if only one of them exists."""
    if left is None or right is None:
        return 0.0 if left is right else np.inf
    return abs(left - right)
