"""What records, arms, methods, settings and conditions are called, wherever somebody reads it."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.hashing import hash_of
from bench.results.conditions import DATA, SAMPLER, Conditions, as_json, conditions, differing
from bench.results.record import Record

HASHES = ("photos", "weights", "judge", "surrogate_models", "files")
"""Conditions that are fingerprints: labels show their first characters."""
Key = tuple[str, ...]
"""Of a setting: the last part is its name, the others say whose it is."""

EMPTY = {"[]", "{}", '""', "null"}
"""Values, as JSON, of a setting that says nothing."""


# -- of one record


def cell_label(record: Record) -> str:
    """What a cell is called: "ada, aspl 8/255, jpeg, dreambooth"."""
    counters = [c.name for c in record.countermeasure if c.name != "none"]
    whose = f"photos of {record.photos_of}" if record.of_another_person else arm_label(record)
    attack = [] if record.attack.name == "none" else [attack_label(record)]
    return ", ".join([record.identity, whose, *counters, *attack])


def arm_label(record: Record) -> str:
    """What an arm is called: "base" (not personalised), "clean", "noise 8/255", "aspl 8/255"."""
    if record.attack.name == "none":
        return "base"
    if record.of_another_person:
        return "another person"
    if record.defense.name == "none":
        return "clean"
    name = record.defense.name
    if name == "precomputed":
        name = record.defense.config.get("label", name)
    return f"{name} {record.defense.budget:g}/255"


def attack_label(record: Record) -> str:
    """What an attack is called: its name, and its variant if it has several."""
    variant = record.attack.config.get("variant")
    return f"{record.attack.name} ({variant})" if variant else record.attack.name


def chain_label(record: Record) -> str:
    """What somebody does to the photos first: "jpeg", "resize + jpeg", or nothing."""
    return " + ".join(c.name for c in record.countermeasure if c.name != "none")


def attack_after_chain(record: Record) -> str:
    """The attack, after what was done to the photos first: "dreambooth", "dreambooth after jpeg"."""
    chain = chain_label(record)
    return f"{attack_label(record)} after {chain}" if chain else attack_label(record)


# -- methods that differ in settings


def attack_key(record: Record) -> str:
    """A record's attack with its settings, as one word; `method_names` says what it is called."""
    return as_json([attack_label(record), record.attack.config])


def chain_key(record: Record) -> str:
    """A record's countermeasures with their settings, likewise."""
    chain = [[c.name, c.config] for c in record.countermeasure if c.name != "none"]
    return as_json(chain)


def method_names(keys: Iterable[str]) -> dict[str, str]:
    """Key of an attack or a chain -> what it is called, with the settings in which methods of one name differ."""
    parsed = {key: json.loads(key) for key in keys}
    chains = {key: value if not value or isinstance(value[0], list) else [value] for key, value in parsed.items()}
    seen: dict[tuple[str, str], set[str]] = defaultdict(set)
    for chain in chains.values():
        for name, config in chain:
            for setting, value in config.items():
                seen[name, setting].add(json.dumps(value))
    return {
        key: " + ".join(_named(name, config, seen) for name, config in chain) or "none" for key, chain in chains.items()
    }


def _named(name: str, config: dict[str, Any], seen: dict[tuple[str, str], set[str]]) -> str:
    varying = [f"{k} {setting_text(v)}" for k, v in config.items() if len(seen[name, k]) > 1]
    return f"{name} ({', '.join(varying)})" if varying else name


@dataclass(frozen=True)
class DistinguishingSettings:
    """Which settings to name, so that nobody takes one row for another.

    Attributes:
        keys: those that have several values, less those that follow from others.
        default: of a switch, the value of most rows of its method, as JSON; it goes without saying.
    """

    keys: set[Key]
    default: dict[Key, str]

    def names(self, key: Key, value: Any) -> bool:
        """Whether a row's label names this setting of it."""
        return key in self.keys and self.default.get(key) != json.dumps(value)


def distinguishing_settings(rows: Sequence[Mapping[Key, Any]], quiet: Sequence[Key] = ()) -> DistinguishingSettings:
    """The settings that tell rows apart. The last part of a key is the setting's name, the others say whose it is.

    One that is merely empty in some rows, and else the same, follows from another one (no recognisers without layer 2):
    it is named only where nothing else tells the rows apart. So are those that are `quiet`.
    """
    plain = [{key: json.dumps(value) for key, value in row.items()} for row in rows]
    values: dict[Key, set[str]] = defaultdict(set)
    for row in plain:
        for key, value in row.items():
            values[key].add(value)
    varying = {key for key, several in values.items() if len(several) > 1}

    def distinct(keys: set[Key]) -> int:
        return len({tuple(row.get(key) for key in sorted(keys)) for row in plain})

    merely_empty = sorted(key for key in varying if len(values[key] - EMPTY) == 1)
    for key in [*merely_empty, *(key for key in quiet if key in varying)]:
        if distinct(varying - {key}) == distinct(varying):
            varying.remove(key)
    switches = {key for key in varying if values[key] == {"true", "false"}}
    return DistinguishingSettings(varying, {key: default for key in switches if (default := _default(key, plain))})


def _default(key: Key, rows: Sequence[Mapping[Key, str]]) -> str | None:
    """What more than half of the different settings of the key's method have; None if no value is so common."""
    own = {tuple(sorted((k, v) for k, v in row.items() if k[:-1] == key[:-1])) for row in rows if key in row}
    (value, count), *_ = Counter(dict(settings)[key] for settings in own).most_common()
    return value if 2 * count > len(own) else None


def setting_text(value: Any) -> str:
    """A setting's value as labels show it."""
    return value if isinstance(value, str) else json.dumps(value)


# -- conditions


class ConditionLabels:
    """Which conditions set some records apart, and what labels say of them.

    Args:
        records: all that labels must tell apart.
        but: conditions that are named elsewhere.
    """

    def __init__(self, records: Sequence[Record], but: Iterable[str] = ()) -> None:
        cut = {name for record in records for name in record.data_config or ()}
        self.names = [name for name in differing(map(_stated, records), cut) if name not in but]

    def texts(self, record: Record) -> tuple[str, ...]:
        """What a label says of a record's conditions: ("steps 20",)."""
        return tuple(said for name in self.names if (said := _said(name, record)))

    def values(self, records: Iterable[Record]) -> dict[str, list[str]]:
        """Condition -> what labels say of it."""
        several = list(records)
        return {name: list(dict.fromkeys(said for r in several if (said := _said(name, r)))) for name in self.names}

    def person(self, record: Record) -> str:
        """What the record's person is called: where there are several data sets, with the name of theirs."""
        data = [
            condition_text(name, value)
            for name, value in _stated(record).items()
            if name in DATA and name in self.names
        ]
        return f"{record.identity} ({', '.join(data)})" if data else record.identity


def _said(name: str, record: Record) -> str:
    """What a label says of one condition; nothing where it is none of the record's."""
    stated = _stated(record)
    if name not in stated:
        return f"{name} unknown" if name in SAMPLER else ""
    return condition_text(name, stated[name])


def _stated(record: Record) -> Conditions:
    """Those of a record, and the settings by which its photos were cut."""
    return conditions(record) | (record.data_config or {})


def condition_text(name: str, value: Any) -> str:
    """A condition as a label has it: "steps 20", "photos 1a2b3c4d"."""
    if name in HASHES:
        return f"{name} {str(value)[:8]}"
    if name == "prompts" and isinstance(value, list):
        return f"prompt {json.dumps(value[0])}" if len(value) == 1 else f"{len(value)} prompts {hash_of(value)[:8]}"
    return f"{name} {value if isinstance(value, str) else json.dumps(value)}"
