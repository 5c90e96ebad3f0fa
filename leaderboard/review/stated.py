"""What two records say of the same cell, but for what was measured: methods, settings, base, data, protocol.

A number is of what the record says it is of. So whoever runs an entry again compares this first.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from bench.results.record import Record

STATED = (
    "data",
    "identity",
    "photos_of",
    "defense",
    "countermeasure",
    "attack",
    "base",
    "surrogates",
    "model",
    "surrogate_models",
    "weights",
    "data_config",
    "seed",
)
"""Fields of a record that say what it is of."""
OF_PROVENANCE = ("protocol", "data.fingerprint", "base.fingerprint", "judges.fingerprint", "judge.fingerprint")
"""And what does so of its provenance; the rest is on which machine it was made, and when."""
NOTHING = "nothing"


def differing(record: Record, own: Record) -> dict[str, tuple[Any, Any]]:
    """Name of a fact -> what a record says, and what one's own does; only those that differ.

    A setting may name a file, which lies elsewhere on every machine: there the file's name must agree, also with a
    record of before records held names alone (".../weights"). What is in the file is compared by its hash, among
    `weights`.
    """
    theirs, ours = _facts(record), _facts(own)
    names = dict.fromkeys([*theirs, *ours])
    pairs = {name: (theirs.get(name, NOTHING), ours.get(name, NOTHING)) for name in names}
    return {name: pair for name, pair in pairs.items() if not _agree(*pair)}


def _facts(record: Record) -> dict[str, Any]:
    """Every single value, by its place: "defense.config.steps"."""
    whole = record.model_dump(include=set(STATED))
    provenance = {name: _part(record.provenance, name) for name in OF_PROVENANCE}
    return dict(_leaves("", {**whole, "provenance": provenance}))


def _part(facts: Any, name: str) -> Any:
    for step in name.split("."):
        facts = facts.get(step) if isinstance(facts, Mapping) else None
    return facts


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict) and value:
        parts = [(str(key), part) for key, part in value.items()]
    elif isinstance(value, list) and value:
        parts = [(str(number), part) for number, part in enumerate(value)]
    else:
        yield name, value
        return
    for key, part in parts:
        yield from _leaves(f"{name}.{key}" if name else key, part)


def _agree(theirs: Any, ours: Any) -> bool:
    if isinstance(theirs, str) and isinstance(ours, str) and ours.startswith((".../", "/", "~/")):
        return theirs.rpartition("/")[2] == ours.rpartition("/")[2]
    return type(theirs) is type(ours) and bool(theirs == ours)
