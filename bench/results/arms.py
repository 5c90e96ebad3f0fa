"""Arms: the records of one combination of methods, over all people. Tables have one row per arm."""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from bench.core.hashing import hash_of
from bench.results.conditions import Told
from bench.results.conditions import text as condition_text
from bench.results.record import DefenseFacts, MethodFacts, Record
from bench.stats import mean_interval


@dataclass(frozen=True)
class Arm:
    """One arm of a run.

    Attributes:
        label: what sets it apart from the run's other arms.
        records: one per person.
        people: names of the persons, in the same order; people of two data sets are two, whatever their names.
        settings: those that the label names: "steps 2".

    Raises:
        ValueError: somebody is there twice, who would count twice in every mean.
    """

    label: str
    records: tuple[Record, ...]
    people: tuple[str, ...]
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for person, count in Counter(self.people).items():
            if count > 1:
                raise ValueError(f"{person} has {count} results under {self.label!r}")

    def mean(self, metric: str) -> float | None:
        """Mean over people; None if nobody has the metric."""
        known = list(self.values(metric).values())
        return sum(known) / len(known) if known else None

    def interval(self, metric: str) -> tuple[float, float] | None:
        """The 95 % interval of the mean of a share in [0, 1] over people; None for fewer than two people."""
        known = list(self.values(metric).values())
        return mean_interval(known, bounds=(0, 1)) if len(known) > 1 else None

    def seconds(self, *stages: str) -> float | None:
        """Mean computing time per person, of the computation that made the output."""
        sums = [sum(r.stages[s].seconds for s in stages if s in r.stages) for r in self.records if r.stages]
        return sum(sums) / len(sums) if sums else None

    def values(self, metric: str) -> dict[str, float]:
        """Person -> the metric, of everybody who has it."""
        found = {person: r.metrics.get(metric) for person, r in zip(self.people, self.records, strict=True)}
        return {person: value for person, value in found.items() if value is not None}


def arms(records: Sequence[Record], among: Sequence[Record] | None = None) -> list[Arm]:
    """Records grouped into arms, controls first: what differs in anything but the person is two arms.

    Labels name attack and countermeasures where there are several, and the conditions and settings in which arms of one
    name differ.

    Args:
        records: of a run, or some of them.
        among: all those that labels must tell apart; none: these.
    """
    own = [r for r in records if r.attack.name != "none"]
    several_attacks, several_chains = (len({of(r) for r in own}) > 1 for of in (attack_label, chain_key))

    def title(record: Record) -> str:
        parts = [label(record)]
        if several_chains and chain_label(record):
            parts.append(chain_label(record))
        if several_attacks and record.attack.name != "none":
            parts.append(attack_label(record))
        return " + ".join(parts)

    every = records if among is None else among
    told = Told(every)

    def row(record: Record) -> dict[Key, Any]:
        settings = {key: value for key, _, value in _settings(record)}
        return {("title",): title(record), ("conditions",): told.texts(record)} | settings

    named = telling([row(record) for record in every], quiet=QUIET)
    groups: dict[tuple[str, tuple[str, ...]], list[Record]] = defaultdict(list)
    for record in sorted(records, key=_order):
        settings = [condition_text(name, value) for key, name, value in _settings(record) if named.says(key, value)]
        groups[title(record), (*told.texts(record), *settings)].append(record)
    return [arm for (name, parts), group in groups.items() for arm in _split(name, parts, group, told.person)]


def _split(
    name: str, parts: tuple[str, ...], records: Sequence[Record], person: Callable[[Record], str]
) -> Iterator[Arm]:
    """One arm; or one for every record, if somebody has several and the records do not state what sets these apart.

    A cell that is there twice counts once, and one that was skipped does not count beside a result.
    """
    single = {(person(r), r.cell): r for r in records}
    done = {who for (who, _), r in single.items() if r.status != "skipped"}
    kept = [(who, r) for (who, _), r in single.items() if r.status != "skipped" or who not in done]
    groups = {parts: kept}
    if len({who for who, _ in kept}) < len(kept):
        groups = {(*parts, f"cell {r.cell[:8]}"): [(who, r)] for who, r in kept}
    for settings, group in groups.items():
        full = f"{name} ({', '.join(settings)})" if settings else name
        yield Arm(full, tuple(r for _, r in group), tuple(who for who, _ in group), settings)


def label(record: Record) -> str:
    """What an arm is called: "base" (not personalised), "clean", "noise 8/255", "aspl 8/255"."""
    if record.attack.name == "none":
        return "base"
    if record.of_another_person:
        return "another person"
    if record.defense.name == "none":
        return "clean"
    name = record.defense.config["label"] if record.defense.name == "precomputed" else record.defense.name
    return f"{name} {record.defense.budget:g}/255"


def attack_label(record: Record) -> str:
    """What an attack is called: its name, and its variant if it has several."""
    variant = record.attack.config.get("variant")
    return f"{record.attack.name} ({variant})" if variant else record.attack.name


def chain_label(record: Record) -> str:
    """What somebody does to the photos first: "jpeg", "resize + jpeg", or nothing."""
    return " + ".join(c.name for c in record.countermeasure if c.name != "none")


def met(record: Record) -> str:
    """What the photos meet: the attack, after what was done to them: "dreambooth", "dreambooth after jpeg"."""
    chain = chain_label(record)
    return f"{attack_label(record)} after {chain}" if chain else attack_label(record)


def attack_key(record: Record) -> str:
    """A record's attack with its settings, as one word; `names` says what it is called."""
    return json.dumps([attack_label(record), record.attack.config], sort_keys=True)


def chain_key(record: Record) -> str:
    """A record's countermeasures with their settings, likewise."""
    chain = [[c.name, c.config] for c in record.countermeasure if c.name != "none"]
    return json.dumps(chain, sort_keys=True)


def names(keys: Iterable[str]) -> dict[str, str]:
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


Key = tuple[str, ...]

LABELLED = {("attack", "variant"), ("defense", "label"), ("defense", "root")}
"""Settings that are in the label already, or stand for one that is."""
QUIET = (("run", "", "surrogate_models"), ("run", "", "files"))
"""How surrogates were used, and hashes of files: named only where nothing else tells rows apart."""
EMPTY = {"[]", "{}", '""', "null"}
"""Values, as JSON, of a setting that says nothing."""


def _settings(record: Record) -> Iterator[tuple[Key, str, Any]]:
    """(key, short name, value) of everything but conditions that may set two records of one name apart."""
    if record.surrogates:
        yield ("run", "", "surrogates"), "surrogates", record.surrogates
    if record.surrogate_models:
        used = hash_of([model.model_dump() for model in record.surrogate_models])
        yield ("run", "", "surrogate_models"), "surrogate_models", used
    if record.weights:
        yield ("run", "", "files"), "files", hash_of(record.weights)
    methods: list[tuple[str, DefenseFacts | MethodFacts]]
    methods = [("defense", record.defense), ("attack", record.attack), *(("counter", c) for c in record.countermeasure)]
    for kind, method in methods:
        for name, value in method.config.items():
            if (kind, name) not in LABELLED:
                yield (kind, method.name, name), name, value


@dataclass(frozen=True)
class Telling:
    """Which settings to name, so that nobody takes one row for another.

    Attributes:
        keys: those that have several values, less those that follow from others.
        usual: of a switch, the value of most rows of its method, as JSON; it goes without saying.
    """

    keys: set[Key]
    usual: dict[Key, str]

    def says(self, key: Key, value: Any) -> bool:
        """Whether a row's label names this setting of it."""
        return key in self.keys and self.usual.get(key) != json.dumps(value)


def telling(rows: Sequence[Mapping[Key, Any]], quiet: Sequence[Key] = ()) -> Telling:
    """The settings that tell rows apart. The last part of a key is the setting's name, the others say whose it is.

    One that is merely empty in some rows, and else the same, follows from another one (no recognisers without layer 2):
    it is named only where nothing else tells the rows apart. So are those that are `quiet`.
    """
    plain = [{key: json.dumps(value) for key, value in row.items()} for row in rows]
    values: dict[Key, set[str]] = defaultdict(set)
    for row in plain:
        for key, value in row.items():
            values[key].add(value)
    found = {key for key, several in values.items() if len(several) > 1}

    def distinct(keys: set[Key]) -> int:
        return len({tuple(row.get(key) for key in sorted(keys)) for row in plain})

    merely_empty = sorted(key for key in found if len(values[key] - EMPTY) == 1)
    for key in [*merely_empty, *(key for key in quiet if key in found)]:
        if distinct(found - {key}) == distinct(found):
            found.remove(key)
    switches = {key for key in found if values[key] == {"true", "false"}}
    return Telling(found, {key: usual for key in switches if (usual := _usual(key, plain))})


def _usual(key: Key, rows: Sequence[Mapping[Key, str]]) -> str | None:
    """What more than half of the different settings of the key's method have; None if no value is so common."""
    own = {tuple(sorted((k, v) for k, v in row.items() if k[:-1] == key[:-1])) for row in rows if key in row}
    (value, count), *_ = Counter(dict(settings)[key] for settings in own).most_common()
    return value if 2 * count > len(own) else None


def setting_text(value: Any) -> str:
    """A setting's value as labels show it."""
    return value if isinstance(value, str) else json.dumps(value)


def _order(record: Record) -> tuple[int, str, float, str, str, int, int]:
    rank = {"none": 1, "noise": 2, "jpeg": 3}.get(record.defense.name, 4)
    if record.of_another_person:
        rank = 0
    return (
        -1 if record.attack.name == "none" else rank,
        record.defense.name,
        record.defense.budget,
        record.attack.name,
        chain_label(record),
        record.model.steps if record.model else 0,
        record.seed,
    )
