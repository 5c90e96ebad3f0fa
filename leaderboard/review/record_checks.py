"""What can be wrong with one record that follows the schema."""

from __future__ import annotations

import math
from collections.abc import Iterator
from statistics import fmean

from bench.core.ranges import Budgeted, read_number
from bench.results.leaks import is_measured
from bench.results.record import Record
from leaderboard.review import threshold_checks, visibility_checks
from leaderboard.review.recompute import TOLERANCE, further, gap, scores
from metrics import METRICS

TAKE = "Take the record as the run wrote it."


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
        wrong = [*_pictures(record), *threshold_checks.faults(record)]
        yield from wrong
        yield from _budget(record)
        yield from visibility_checks.faults(record)
        yield from _ranges(record)
        if not wrong:
            yield from _scores(record)


def _pictures(record: Record) -> Iterator[tuple[str, str]]:
    """What the facts of a picture say of each other, and whether all that were asked for are there."""
    asked = record.provenance.get("protocol")
    prompts, each = (asked.get("prompts"), asked.get("images_per_prompt")) if isinstance(asked, dict) else (None, None)
    if not (isinstance(prompts, list) and isinstance(each, int)):
        yield "provenance.protocol", f"does not say how many pictures were asked for. {TAKE}"
    elif (
        len({(i.prompt, i.image) for i in record.images}) != len(record.images)
        or len(record.images) != len(prompts) * each
        or any(i.prompt >= len(prompts) or i.image >= each for i in record.images)
    ):
        yield "images", f"are not {each} of each of {len(prompts)} prompts. {TAKE}"
    for number, image in enumerate(record.images):
        known = [value for value in image.similarities.values() if value is not None]
        mean = fmean(known) if known and len(known) == len(image.similarities) else None
        if any(abs(value) > 1 + TOLERANCE for value in (*known, image.similarity or 0)):
            yield f"images.{number}.similarity", f"is no cosine. {TAKE}"
        elif (image.similarity is None) != (image.faces == 0) or (known and mean is None):
            yield f"images.{number}.faces", f"is {image.faces}, which the similarities contradict. {TAKE}"
        elif image.similarities and gap(image.similarity, mean) > TOLERANCE:
            yield f"images.{number}.similarity", f"is {image.similarity}, and the judges' mean is {mean}. {TAKE}"


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


def _ranges(record: Record) -> Iterator[tuple[str, str]]:
    for name, value in record.metrics.items():
        metric = METRICS.find(name)
        low, high = metric.range if metric else (-math.inf, math.inf)
        if value is None and not record.unavailable.get(name):
            yield f"metrics.{name}", "is null, and `unavailable` does not say why. Take the record as the run wrote it."
        if value is not None and not low <= value <= high:
            yield f"metrics.{name}", f"is {value:g}, and must lie between {low:g} and {high:g}."


def _scores(record: Record) -> Iterator[tuple[str, str]]:
    """Every score that pictures decide, computed again; `SCORES` must be there, others agree where they are."""
    needed, others = scores(record), further(record)
    for name, value in (needed | {name: others[name] for name in others if name in record.metrics}).items():
        stated = record.metrics.get(name)
        if gap(stated, value) > TOLERANCE:
            yield (
                f"metrics.{name}",
                f"is {stated}, but the record's pictures give {value}. Take the run's own.",
            )
