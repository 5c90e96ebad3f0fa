"""What can be wrong with one record that follows the schema."""

from __future__ import annotations

import math
from collections.abc import Iterator

from bench.core.ranges import Budgeted, read_number
from bench.results.leaks import is_measured
from bench.results.record import Record
from leaderboard.review.recompute import TOLERANCE, gap, scores
from metrics import METRICS


def faults(record: Record) -> Iterator[tuple[str, str]]:
    """(field, message) of each: what is wrong, and what to do."""
    data = record.provenance.get("data")
    licence = data.get("licence") if isinstance(data, dict) else None
    if not isinstance(licence, str) or licence.strip() in ("", "unknown"):
        yield (
            "provenance.data.licence",
            "says nothing. Run again with data.licence=<what allows their use>.",
        )
    if record.status != "ok":
        if not record.reason:
            yield "reason", f"the status is {record.status}, and nothing says why. Take the record as the run wrote it."
    elif not is_measured(record):
        yield "images", "an ok cell has pictures, and thresholds of their judges. Take the record as the run wrote it."
    else:
        yield from _budget(record)
        yield from _metrics(record)


def _budget(record: Record) -> Iterator[tuple[str, str]]:
    budget, largest = record.defense.budget, record.metrics.get("linf")
    try:
        read_number(budget, Budgeted)
    except ValueError as error:
        yield "defense.budget", f"is {budget:g}: {error}."
    if largest is None:
        yield "metrics.linf", "is missing, so nobody knows whether the budget is kept. Run again with this version."
    elif largest > budget:
        levels = f"{largest:g} grey levels, and the budget of {record.defense.name} is {budget:g}"
        yield "metrics.linf", f"is {levels}. Mend the defense, or run it at its true budget."


def _metrics(record: Record) -> Iterator[tuple[str, str]]:
    for name, value in record.metrics.items():
        metric = METRICS.find(name)
        low, high = metric.range if metric else (-math.inf, math.inf)
        if value is None and not record.unavailable.get(name):
            yield f"metrics.{name}", "is null, and `unavailable` does not say why. Take the record as the run wrote it."
        if value is not None and not low <= value <= high:
            yield f"metrics.{name}", f"is {value:g}, and must lie between {low:g} and {high:g}."
    for name, value in scores(record).items():
        stated = record.metrics.get(name)
        if gap(stated, value) > TOLERANCE:
            yield (
                f"metrics.{name}",
                f"is {stated}, but the record's pictures give {value}. Take the run's own.",
            )
