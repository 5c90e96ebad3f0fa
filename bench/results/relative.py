"""Metrics that need other cells' records: protection relative to the clean arm, and leaks that could be used.

They are computed whenever records are read, never stored: a record would go stale when its clean arm is run again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from bench.results.conditions import as_json, conditions
from bench.results.labels import attack_key, chain_key
from bench.results.leaks import leaks
from bench.results.record import Record
from metrics import METRICS, identity, quality

Setting = tuple[str, ...]
"""What a record shares with its clean arm: all but the defense, its budget and the person."""

GATES = ("topiq_nr-face", "clipiqa", "brisque", "blur")
"""Quality scores that may decide whether a picture could be used, the best first."""


def with_derived(records: Sequence[Record]) -> list[Record]:
    """The records with `protection`, `prevented` and `ilr_usable` among the metrics of attacks on own photos."""
    clean: dict[Setting, list[Record]] = defaultdict(list)
    for record in records:
        if _is_attack(record) and record.defense.name == "none":
            clean[setting_of(record)].append(record)
    gate = gate_of(records)
    return [_completed(r, clean[setting_of(r)], gate) if _is_attack(r) else r for r in records]


def weakness(clean_leak: float) -> str:
    """What is wrong with an attack that leaks so little on clean photos; nothing if it leaks enough to judge cloaks."""
    if clean_leak >= identity.VALID_LEAK:
        return ""
    return f"leaks only {clean_leak:.2f} on clean photos: below {identity.VALID_LEAK} it cannot show what a cloak does."


def gate_of(records: Sequence[Record]) -> str | None:
    """The best quality score that every generated picture has, by which leaks are called usable."""
    pictures = [image.quality for r in records if r.status == "ok" for image in r.images]
    return next((name for name in GATES if pictures and all(name in scores for scores in pictures)), None)


def _completed(record: Record, clean: Sequence[Record], gate: str | None) -> Record:
    values: dict[str, float | None] = dict.fromkeys(("protection", "prevented", "ilr_usable"))
    reasons = dict.fromkeys(values, "there is no clean arm to compare with")
    own = next((r for r in clean if r.identity == record.identity), None)
    leak, before = record.metrics.get("ilr"), own.metrics.get("ilr") if own else None
    if leak is not None and before is not None:
        values["prevented"] = before - leak
        values["protection"] = identity.protection(leak, before)
        reasons["protection"] = f"the attack leaks only {before:.2f} on this person's clean photos"
    if clean and gate is None:
        reasons["ilr_usable"] = "no quality score of all pictures is in the records"
    elif clean and gate:
        values["ilr_usable"] = _usable(record, clean, gate)
    lacking = {name: reasons[name] for name, value in values.items() if value is None}
    update = {"metrics": {**record.metrics, **values}, "unavailable": {**record.unavailable, **lacking}}
    return record.model_copy(update=update)


def _usable(record: Record, clean: Sequence[Record], gate: str) -> float:
    """The share of all pictures that leak and are good enough."""
    bar = np.array([image.quality[gate] for r in clean for image in r.images])
    scores = np.array([image.quality[gate] for image in record.images])
    return float((leaks(record) * quality.usable(scores, bar, METRICS.get(gate).lower_is_better)).mean())


def _is_attack(record: Record) -> bool:
    """Whether a record is of an attack on the person's own photos that came to a result."""
    return record.status == "ok" and record.attack.name != "none" and not record.of_another_person


def setting_of(record: Record) -> Setting:
    """What a record shares with its clean arm's of the same seed."""
    return as_json(conditions(record)), attack_key(record), chain_key(record)


def arm_setting(record: Record) -> Setting:
    """What all records of an arm share with the clean arm, whatever their seed."""
    return setting_of(record.model_copy(update={"seed": 0}))
