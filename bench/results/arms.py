"""Arms: the records of one combination of methods, over all people and seeds. Tables have one row per arm."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean, median
from typing import Any

from bench.core.hashing import hash_of
from bench.results.labels import (
    ConditionLabels,
    Key,
    arm_label,
    attack_after_chain,
    attack_label,
    chain_key,
    chain_label,
    condition_text,
    distinguishing_settings,
)
from bench.results.leaks import InHalves, likeness_in_halves
from bench.results.record import DefenseFacts, MethodFacts, Record
from bench.stats import mean_interval


@dataclass(frozen=True)
class Arm:
    """One arm of a run.

    Attributes:
        label: what sets it apart from the run's other arms.
        records: one per person and seed.
        people: whose they are, in the same order; people of two data sets are two, whatever their names.
        settings: those that the label names: "steps 2".

    Raises:
        ValueError: somebody is there twice with one seed: the two differ in something else, and may not be averaged.
    """

    label: str
    records: tuple[Record, ...]
    people: tuple[str, ...]
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for (person, _), count in Counter(zip(self.people, (r.seed for r in self.records), strict=True)).items():
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
        """Median wall time per person of the computation that made the output, as on the board: a mean says many times
        too much where a machine had other work."""
        sums = [sum(r.stages[s].seconds for s in stages if s in r.stages) for r in self.records if r.stages]
        return median(sums) if sums else None

    def values(self, metric: str) -> dict[str, float]:
        """Person -> the metric, of everybody who has it: the mean over seeds."""
        found: dict[str, list[float]] = defaultdict(list)
        for person, record in zip(self.people, self.records, strict=True):
            if (value := record.metric(metric)) is not None:
                found[person].append(value)
        return {person: fmean(values) for person, values in found.items()}

    def in_halves(self) -> dict[str, InHalves]:
        """Person -> likeness by all pictures and by either half of them: the mean over seeds."""
        found: dict[str, list[InHalves]] = defaultdict(list)
        for person, record in zip(self.people, self.records, strict=True):
            if (scores := likeness_in_halves(record)) is not None:
                found[person].append(scores)
        return {person: InHalves(*map(fmean, zip(*several, strict=True))) for person, several in found.items()}


def arms(records: Sequence[Record], among: Sequence[Record] | None = None) -> list[Arm]:
    """Records grouped into arms, controls first: what differs in anything but the person and the seed is two arms.

    Labels name attack and countermeasures where there are several, and the conditions and settings in which arms of one
    name differ.

    Args:
        records: of a run, or some of them.
        among: all those that labels must tell apart; none: these.
    """
    own = [r for r in records if r.attack.name != "none"]
    several_attacks, several_chains = (len({of(r) for r in own}) > 1 for of in (attack_label, chain_key))

    def title(record: Record) -> str:
        parts = [arm_label(record)]
        if several_chains and chain_label(record):
            parts.append(chain_label(record))
        if several_attacks and record.attack.name != "none":
            parts.append(attack_label(record))
        return " + ".join(parts)

    every = records if among is None else among
    labels = ConditionLabels(every, but=("seed",))

    def row(record: Record) -> dict[Key, Any]:
        settings = {key: value for key, _, value in _settings(record)}
        settings |= {("attack",): attack_after_chain(record)}  # of each alone: its own files set no arms apart
        return {("title",): title(record), ("conditions",): labels.texts(record)} | settings

    named = distinguishing_settings([row(record) for record in every], quiet=QUIET)
    groups: dict[tuple[str, tuple[str, ...]], list[Record]] = defaultdict(list)
    for record in sorted(records, key=_order):
        settings = [condition_text(name, value) for key, name, value in _settings(record) if named.names(key, value)]
        groups[title(record), (*labels.texts(record), *settings)].append(record)
    return [arm for (name, parts), group in groups.items() for arm in _split(name, parts, group, labels.person)]


def _split(
    name: str, parts: tuple[str, ...], records: Sequence[Record], person: Callable[[Record], str]
) -> Iterator[Arm]:
    """One arm; or one for every record, if somebody has several of a seed that do not state what sets them apart.

    A cell that is there twice counts once, and one that was skipped does not count beside a result.
    """
    single = {(person(r), r.cell): r for r in records}
    done = {(who, r.seed) for (who, _), r in single.items() if r.status != "skipped"}
    kept = [(who, r) for (who, _), r in single.items() if r.status != "skipped" or (who, r.seed) not in done]
    groups = {parts: kept}
    if len({(who, r.seed) for who, r in kept}) < len(kept):
        groups = {(*parts, f"cell {r.cell[:8]}"): [(who, r)] for who, r in kept}
    for settings, group in groups.items():
        full = f"{name} ({', '.join(settings)})" if settings else name
        yield Arm(full, tuple(r for _, r in group), tuple(who for who, _ in group), settings)


LABELLED = {("attack", "variant"), ("defense", "label"), ("defense", "root")}
"""Settings that are in the label already, or stand for one that is."""
QUIET = (("run", "", "surrogate_models"), ("run", "", "files"))
"""How surrogates were used, and hashes of files: named only where nothing else tells rows apart."""


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


def _order(record: Record) -> tuple[int, str, float, str, str, int, int]:
    rank = {"none": 1, "noise": 2, "jpeg": 3, "placebo": 4}.get(record.defense.name, 5)
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
