"""What a cell was made under beside its methods: data, base and sampler, protocol, judge, seed.

Results of unequal conditions are never averaged, but for seeds. Tables that hold several name those that differ. What a
record does not state (those of before version 0.2 say nothing of the sampler) is left out, not guessed.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from bench.results import standard
from bench.results.record import Record

Conditions = dict[str, Any]
"""Name, as labels and columns have it -> value."""

SAMPLER = ("steps", "guidance", "resolution", "precision", "family", "revision")
"""How a base is used."""
DATA = ("data", "photos")
"""Whose photos: people of one name are one person only if these are equal."""
FOLLOWS = {
    **dict.fromkeys(("resolution", "precision", "family", "revision"), ("on",)),
    "weights": ("on", "revision"),
    "judges": ("version",),
    "judge": ("version",),
}
"""Condition -> those that it follows from, if nothing else does."""


def conditions(record: Record) -> Conditions:
    """What a record shares with its clean arm, beside attack and countermeasures."""
    stated = {
        "data": record.data,
        "photos": _fingerprint(record, "data"),
        "on": record.base,
        **sampler(record),
        "weights": _fingerprint(record, "base"),
        **protocol(record),
        "judge": _fingerprint(record, "judges") or _fingerprint(record, "judge"),
        "seed": record.seed,
    }
    return {name: value for name, value in stated.items() if value is not None}


def sampler(record: Record) -> Conditions:
    """How the base was used, as far as it is known."""
    if record.model is not None:
        return record.model.model_dump(include=set(SAMPLER))
    precision = record.provenance.get("precision")
    return {} if precision is None else {"precision": precision}


def protocol(record: Record) -> Conditions:
    """What was generated, and how leaks were counted."""
    stated = record.provenance.get("protocol")
    return dict(stated) if isinstance(stated, dict) else {} if stated is None else {"protocol": stated}


def departures(record: Record) -> Conditions:
    """Where a record departs from its protocol; of a base that it does not know, all that is stated."""
    version = record.protocol
    usual = standard.PROTOCOLS.get(version, {}) | standard.sampler(version, record.base)
    stated = protocol(record) | sampler(record)
    return {name: value for name, value in stated.items() if value not in (None, usual.get(name))}


def columns(record: Record) -> dict[str, str | float | None]:
    """The same as columns of a table: plain values, null where a record does not state one; settings as JSON."""
    stated, asked = sampler(record), protocol(record)
    return {
        "data_fingerprint": _fingerprint(record, "data"),
        "data_config": as_json(record.data_config) if record.data_config else None,
        "base_fingerprint": _fingerprint(record, "base"),
        **{name: stated.get(name) for name in SAMPLER},
        "prompts": as_json(asked["prompts"]) if "prompts" in asked else None,
        "images_per_prompt": asked.get("images_per_prompt"),
        "far": asked.get("far"),
        "defense_config": as_json(record.defense.config),
        "countermeasure_config": as_json([step.config for step in record.countermeasure]),
        "attack_config": as_json(record.attack.config),
        "surrogate_models": as_json([model.model_dump() for model in record.surrogate_models or ()]),
    }


def differing(rows: Iterable[Mapping[str, Any]], cut: Iterable[str] = ()) -> list[str]:
    """Names of the conditions in which rows differ, less those that follow from others.

    Args:
        rows: conditions.
        cut: names of settings by which photos were cut. They explain a difference between photos, and say nothing
            where there is none.
    """
    plain = [{name: as_json(value) for name, value in row.items()} for row in rows]
    names = dict.fromkeys(name for row in plain for name in row)
    several = [name for name in names if len({row[name] for row in plain if name in row}) > 1]
    cut = set(cut)
    explaining = [name for name in several if name in cut and _follows(plain, name, ("photos",))]
    follows = FOLLOWS | {"photos": ("data", "resolution", *explaining)}
    return [
        name
        for name in several
        if name in explaining or not (name in cut or (name in follows and _follows(plain, name, follows[name])))
    ]


def as_json(value: Any) -> str:
    """A value as one word that equal values share, in memory, too."""
    return sys.intern(json.dumps(value, sort_keys=True))


def _follows(rows: Sequence[Mapping[str, str]], name: str, others: Sequence[str]) -> bool:
    """Whether rows with equal others never differ in a condition."""
    seen: dict[tuple[str | None, ...], str] = {}
    return all(
        seen.setdefault(tuple(row.get(other) for other in others), row[name]) == row[name]
        for row in rows
        if name in row
    )


def _fingerprint(record: Record, name: str) -> str | None:
    facts = record.provenance.get(name)
    value = facts.get("fingerprint") if isinstance(facts, dict) else None
    return None if value is None else str(value)
