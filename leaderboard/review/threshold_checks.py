"""What the thresholds of a record must hold: such as the cohort can give.

A leak is a similarity above a threshold, so whoever states a higher one leaks nothing. Of protocol 2, a judge's
thresholds for a person are the mean of strangers' cosines, which is stated, and so many standard deviations above it;
how many is the cohort's (`bench.evaluation.cohort`). So one threshold gives the other, and neither goes beyond what the
cohort has.
"""

from __future__ import annotations

from collections.abc import Iterator

from bench.evaluation.cohort import MATCHED, cohort
from bench.results import standard
from bench.results.conditions import as_json
from bench.results.leaks import judges_of
from bench.results.record import Record
from leaderboard.entries.agreement import OF_JUDGE

TOLERANCE = 1e-6
TAKE = "Take the record as the run wrote it."


def faults(record: Record) -> Iterator[tuple[str, str]]:
    """(field, message) of what is wrong with the thresholds of one measured record."""
    stated, asked = record.thresholds, record.provenance.get("protocol")
    wanted = asked if isinstance(asked, dict) else {}
    if stated.get("far") != wanted.get("far"):
        yield "thresholds.far", f"is {stated.get('far')}, and the protocol's is {wanted.get('far')}. {TAKE}"
    if record.protocol < 2:
        return
    judges, named = judges_of(record), wanted.get("judges")
    if not isinstance(named, list) or sorted(judges) != sorted(map(str, named)):
        yield "images.0.similarities", f"are of {as_json(judges)}, and the protocol's are others. {TAKE}"
        return
    for judge in judges:
        lacking = [name for name in OF_JUDGE if f"{name}.{judge}" not in stated]
        if lacking or not 0 < stated.get("far", 0) < 1:
            yield f"thresholds.{(lacking or ['ilr'])[0]}.{judge}", f"is missing, or rests on no rate. {TAKE}"
        elif judge in standard.PROTOCOLS[2]["judges"]:  # other judges' cohorts do not come with this version
            yield from _of_cohort(record, judge, len(judges))


def _of_cohort(record: Record, judge: str, judges: int) -> Iterator[tuple[str, str]]:
    """What contradicts the cohort of a judge."""
    far, ilr, matched, stranger, own = (
        record.thresholds[name] for name in ("far", *(f"{name}.{judge}" for name in OF_JUDGE))
    )
    world = cohort(judge)
    mean, least, largest = world.extremes
    if abs(stranger) > mean + TOLERANCE:
        yield f"thresholds.stranger.{judge}", f"is {stranger:g}, and is at most {mean:.3f} of anybody. {TAKE}"
    if abs(own) > 1 + TOLERANCE:
        yield f"thresholds.own.{judge}", f"is {own:g}, and is a cosine. {TAKE}"
    for name, value, rate in (("ilr", ilr, far / judges), ("ilr_matched", matched, far * MATCHED / judges)):
        low, high = sorted(stranger + world.deviations(rate) * width for width in (least, largest))
        if not low - TOLERANCE <= value <= high + TOLERANCE:
            said = f"is {value:g}, and at this rate lies between {low:.3f} and {high:.3f} for everybody"
            yield f"thresholds.{name}.{judge}", f"{said}. {TAKE}"
    one, other = world.deviations(far / judges), world.deviations(far * MATCHED / judges)
    if abs((ilr - stranger) * other - (matched - stranger) * one) > TOLERANCE:
        yield f"thresholds.ilr.{judge}", f"is {ilr:g}, which does not belong to ilr_matched {matched:g}. {TAKE}"
