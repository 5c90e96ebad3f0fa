"""Records of many entries as the page needs them: groups that may be compared, their rows, and columns of cells.

A group holds what can be compared at all: same protocol, data, base, judge. A row is a defense with its budget and
settings. A cell is row x attack x countermeasure x person; the page computes every score from cells.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.arms import attack_key, chain_key, label
from bench.hashing import hash_of
from bench.record import Record
from bench.validity import CONTROLS
from leaderboard.measures import MEASURES
from leaderboard.results import BadEntry, Problem, Result

SIGHT = ("linf", "psnr", "ssim")
"""What a cloak looks like: the same for every attack."""
SHOWN = (*SIGHT, *(measure.key for measure in MEASURES))
"""Metrics that are kept."""
ASIDE = ("base", "another person")
"""Rows in which nothing of the person was there to protect."""

Key = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Cell:
    """What is kept of a record: a board has a hundred thousand of them.

    Attributes:
        id: hash of the cell.
        status, reason: of the record.
        metrics: those that the page shows and that are known.
        seconds, megabytes, passes: cost of making the cloak, the last in passes of the UNet; None if it is not known.
        entry: which entry brought it.
    """

    id: str
    status: str
    reason: str
    metrics: dict[str, float]
    seconds: float | None
    megabytes: float | None
    passes: int | None
    entry: str


Owners = dict[Key, Key]
"""Group, label and settings -> the row of the first reference entry that has them."""
Place = tuple[str, str, str]
"""Attack, countermeasures, person."""


@dataclass
class Row:
    """One line of the board.

    Attributes:
        key: what sets it apart from all other rows of the group.
        label: what it is called.
        control: whether it is one of the controls.
        entry: id of the entry that brought it; controls belong to everybody.
        record: any record of it, without its pictures, for settings and provenance.
        cells: one per seed at every place.
    """

    key: Key
    label: str
    control: bool
    entry: str
    record: Record
    cells: dict[Place, list[Cell]] = field(default_factory=lambda: defaultdict(list))

    @property
    def id(self) -> str:
        """Short and stable: names the row's page and stands in links."""
        return hash_of(list(self.key))[:10]

    def all(self) -> list[Cell]:
        """Every cell."""
        return [cell for found in self.cells.values() for cell in found]

    def others(self) -> list[str]:
        """Ids of the entries that added to another entry's row: those that broke it, and further references."""
        return sorted({cell.entry for cell in self.all()} - {self.entry}) if self.entry else []


@dataclass
class Group:
    """Rows that may be compared.

    Attributes:
        facts: what they have in common.
        threshold: the judge's, of any of its records.
        rows: by key.
        newest: latest date on which an entry of it was submitted.
    """

    facts: dict[str, Any]
    threshold: dict[str, float] = field(default_factory=dict)
    rows: dict[Key, Row] = field(default_factory=dict)
    newest: str = ""

    @property
    def id(self) -> str:
        """Short and stable."""
        return hash_of(self.facts)[:8]

    @property
    def name(self) -> str:
        """Data and base."""
        return f"{self.facts['data']} · {self.facts['base']}"

    @property
    def people(self) -> int:
        """How many were tried."""
        return len({person for row in self.rows.values() for _, _, person in row.cells})


@dataclass
class _Read:
    """An entry's records, sorted: cells by group, row and place, and one record of each row."""

    samples: dict[tuple[str, Key], tuple[dict[str, Any], Record]] = field(default_factory=dict)
    cells: list[tuple[str, Key, Place, Cell]] = field(default_factory=list)


def groups(results: Iterable[Result]) -> tuple[list[Group], list[Result], list[Problem]]:
    """Sort all records into groups and rows.

    Where two entries bring the same cell (controls, mostly), the first counts: reference entries, then verified ones,
    then by date. A break joins the rows of the entry that it breaks, and a reference those of the references before it.
    An entry counts as a whole or not at all.

    Returns:
        The groups, of most people and then of most rows first, and of one name the newest; the entries that count; what
        is wrong with others.
    """
    read: dict[str, tuple[Result, _Read]] = {}
    problems = []
    owners: Owners = {}
    # What others are about comes first, and the first of several references.
    for result in sorted(results, key=lambda r: (r.entry.amends is not None, r.entry.submitted)):
        try:
            if result.entry.amends not in {None, *read}:
                message = f"the entry {result.entry.amends!r} has a problem itself. Mend that one first."
                raise BadEntry(f"{result.pack.file}/entry.json", "amends", message)
            records = _sort(result, owners)
            read[result.entry.id] = (result, records)
            if result.entry.kind == "reference":
                owners |= {(group, *key[:2]): key for group, key in records.samples}
        except BadEntry as error:
            problems.append(error.problem)
    found: dict[str, Group] = {}
    for result, records in sorted(read.values(), key=lambda pair: _trust(pair[0])):
        _add(found, result, records)
    most: dict[str, tuple[int, int]] = defaultdict(lambda: (0, 0))
    for group in found.values():
        most[group.name] = max(most[group.name], (group.people, len(group.rows)))
    ordered = sorted(found.values(), key=lambda g: (most[g.name], g.name, g.newest), reverse=True)
    return ordered, [result for result, _ in read.values()], problems


def _sort(result: Result, owners: Owners) -> _Read:
    entry, read = result.entry, _Read()
    for record in result.records():
        facts = comparable(record, entry.protocol)
        group, key = hash_of(facts), _key(record, str(entry.amends) if entry.kind == "break" else entry.id)
        if entry.kind == "reference":
            key = owners.get((group, *key[:2]), key)
        if (group, key) not in read.samples:
            read.samples[group, key] = facts, record.model_copy(update={"images": []})
        place = attack_key(record), chain_key(record), record.identity
        read.cells.append((group, key, place, _cell(record, result)))
    return read


def _add(found: dict[str, Group], result: Result, read: _Read) -> None:
    for (name, key), (facts, record) in read.samples.items():
        group = found.setdefault(name, Group(facts))
        group.newest = max(group.newest, result.entry.submitted.isoformat())
        group.threshold = group.threshold or record.thresholds
        control = is_control(record)
        group.rows.setdefault(key, Row(key, label(record), control, "" if control else key[-1], record))
    for name, key, place, cell in read.cells:
        present = found[name].rows[key].cells[place]
        if all(cell.id != other.id for other in present):
            present.append(cell)


def _cell(record: Record, result: Result) -> Cell:
    cost = record.stages.get("protect")
    return Cell(
        id=record.cell,
        status=record.status,
        reason=record.reason,
        metrics={name: value for name in SHOWN if (value := record.metrics.get(name)) is not None},
        seconds=cost.seconds if cost else None,
        megabytes=cost.peak_mb if cost else None,
        passes=sum(cost.passes.get("unet", {}).values()) if cost and cost.passes is not None else None,
        entry=result.entry.id,
    )


def comparable(record: Record, version: str) -> dict[str, Any]:
    """What two records must share before anybody may put them side by side."""
    known = record.provenance
    return {
        "version": version,
        "protocol": known.get("protocol"),
        "data": record.data,
        "photos": _fingerprint(known.get("data")),
        "base": record.base,
        "weights": _fingerprint(known.get("base")),
        "judge": _fingerprint(known.get("judge")),
    }


def _fingerprint(facts: Any) -> str:
    return str(facts.get("fingerprint", "")) if isinstance(facts, dict) else ""


def _trust(result: Result) -> tuple[bool, bool, str, str]:
    entry = result.entry
    return entry.kind != "reference", result.verification is None, entry.submitted.isoformat(), entry.id


def is_control(record: Record) -> bool:
    """Whether it belongs to one of the rows that no board does without."""
    return label(record) in ASIDE or record.defense.name in CONTROLS


def _key(record: Record, entry: str) -> Key:
    """What sets a record's row apart: controls of all entries share theirs."""
    name = label(record)
    if name in ASIDE:
        return (name,)
    settings = json.dumps([record.defense.config, record.surrogates], sort_keys=True)
    return (name, settings) if is_control(record) else (name, settings, entry)
