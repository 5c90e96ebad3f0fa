"""Records of many entries as the page needs them: groups that may be compared, their rows, and columns of cells.

A group holds what can be compared at all: same protocol, data, base, sampler, judge. A row is a defense with its budget
and settings. A cell is row x attack x countermeasure x person; the page computes every score from cells.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.core.hashing import hash_of
from bench.results.conditions import SAMPLER, departures
from bench.results.labels import arm_label, attack_key, chain_key
from bench.results.leaks import likeness_in_halves
from bench.results.record import Record
from bench.results.standard import BASES
from bench.stats.rule import CONTROLS
from leaderboard.entries.entry import RECORDS
from leaderboard.entries.reader import BadEntry, Problem, Result
from leaderboard.entries.strict_json import not_understood
from leaderboard.site import group_names
from leaderboard.site.measures import MEASURES

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
        seed: of the record.
        status, reason: of the record.
        metrics: those that the page shows and that are known.
        halves: likeness by either half of the pictures; None if it is not known.
        seconds, megabytes, passes: cost of making the cloak, the last in passes of the UNet; None if it is not known.
        entry: which entry brought it.
    """

    id: str
    seed: int
    status: str
    reason: str
    metrics: dict[str, float]
    halves: tuple[float, float] | None
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
        """Names the row's page and stands in links; 128 bits, so that nobody finds another row of the same id."""
        return hash_of(list(self.key))[:32]

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
        threshold: those of any of its records: by them one can tell the rule, and in protocol 1 the threshold of all.
        rows: by key.
        apart: what sets it apart from other groups of the same data and base.
    """

    facts: dict[str, Any]
    threshold: dict[str, float] = field(default_factory=dict)
    rows: dict[Key, Row] = field(default_factory=dict)
    apart: str = ""

    @property
    def id(self) -> str:
        """Stands in links; 128 bits, as of rows."""
        return hash_of(self.facts)[:32]

    @property
    def title(self) -> str:
        """Data and base."""
        return f"{self.facts['data']} · {self.facts['base']}"

    @property
    def name(self) -> str:
        """The title, and what no other group of that title has."""
        return f"{self.title} ({self.apart})" if self.apart else self.title

    @property
    def people(self) -> int:
        """How many were tried."""
        return self.size()[0]

    def size(self, entries: Container[str] | None = None) -> tuple[int, int]:
        """How many people and rows it has; of some entries alone."""
        rows = {
            key: {person for (_, _, person), found in row.cells.items() if _of(found, entries)}
            for key, row in self.rows.items()
        }
        return len(set().union(*rows.values())), sum(map(bool, rows.values()))


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
        The groups, that with the largest reference first; the entries that count; what is wrong with others.
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
        except Exception as error:  # whatever it is: one entry hides no other
            problems.append(not_understood(result.pack.file, error))
    found: dict[str, Group] = {}
    trusted = {name for name, (result, _) in read.items() if result.trusted}
    for result, records in sorted(read.values(), key=lambda pair: _trust(pair[0])):
        _add(found, result, records, trusted)
    used = [result for result, _ in read.values()]
    return _ordered(list(found.values()), used), used, problems


def _ordered(found: Sequence[Group], results: Sequence[Result]) -> list[Group]:
    """With names. What the maintainers have most of comes first, then its title's others; dates say nothing of it.

    Of groups of one size that of the later protocol comes first.
    """
    for group in found:
        group.apart = group_names.apart(group, [other for other in found if other.title == group.title])
    references = {result.entry.id for result in results if result.entry.kind == "reference"}
    trusted = {result.entry.id for result in results if result.trusted}
    sizes = {group.id: (group.size(references), group.size(trusted), group.size()) for group in found}
    most = {group.title: max(sizes[g.id] for g in found if g.title == group.title) for group in found}
    version = {group.id: [int(part) for part in group.facts["version"].split(".")] for group in found}
    return sorted(found, key=lambda g: (most[g.title], g.title, sizes[g.id], version[g.id], g.id), reverse=True)


def _sort(result: Result, owners: Owners) -> _Read:
    entry, read = result.entry, _Read()
    seen: dict[tuple[str, Key, Place, int], str] = {}
    for record in result.records():
        facts = comparable(record, entry.protocol)
        group, key = hash_of(facts), _key(record, str(entry.amends) if entry.kind == "break" else entry.id)
        if entry.kind == "reference":
            key = owners.get((group, *key[:2]), key)
        if (group, key) not in read.samples:
            read.samples[group, key] = facts, record.model_copy(update={"images": []})
        place = attack_key(record), chain_key(record), record.identity
        if (other := seen.setdefault((group, key, place, record.seed), record.cell)) != record.cell:
            both = f"{other[:12]} and {record.cell[:12]} are of one person, method and seed, and do not state what sets"
            message = f"{both} them apart. Run again with this version, or make an entry of each."
            raise BadEntry(f"{result.pack.file}/{RECORDS}", "cell", message)
        read.cells.append((group, key, place, _cell(record, result)))
    return read


def _add(found: dict[str, Group], result: Result, read: _Read, trusted: Container[str]) -> None:
    """Sort an entry's records into groups; those of a group that they contradict become a group of their own.

    A cell's id is a hash of all that decides it. Where an entry has another one than is there for the same person,
    method and seed, they differ in something that the records do not state, and may not be averaged.
    """
    contradicting = {name for name, key, place, cell in read.cells if _contradicts(found, name, key, place, cell)}
    names = {name: hash_of([name, result.entry.id]) if name in contradicting else name for name, _ in read.samples}
    for (name, key), (facts, record) in read.samples.items():
        own = {"entry": result.entry.id} if name in contradicting else {}
        group = found.setdefault(names[name], Group(facts | own))
        group.threshold = group.threshold or record.thresholds
        control = is_control(record)
        group.rows.setdefault(key, Row(key, arm_label(record), control, "" if control else key[-1], record))
    for name, key, place, cell in read.cells:
        row = found[names[name]].rows[key]
        present = row.cells[place]
        # Nobody but the maintainers adds to what they found of a control.
        settled = row.control and not result.trusted and _of(present, trusted)
        if not settled and all(cell.id != other.id for other in present):
            present.append(cell)


def _contradicts(found: Mapping[str, Group], name: str, key: Key, place: Place, cell: Cell) -> bool:
    row = found[name].rows.get(key) if name in found else None
    present = row.cells.get(place, ()) if row else ()
    return any(other.seed == cell.seed and other.id != cell.id for other in present)


def _of(cells: Iterable[Cell], entries: Container[str] | None) -> bool:
    """Whether any of some cells is of some entries."""
    return any(entries is None or cell.entry in entries for cell in cells)


def _cell(record: Record, result: Result) -> Cell:
    cost, likeness = record.stages.get("protect"), likeness_in_halves(record)
    return Cell(
        id=record.cell,
        seed=record.seed,
        status=record.status,
        reason=record.reason,
        metrics={name: value for name in SHOWN if (value := record.metric(name)) is not None},
        halves=likeness[1:] if likeness else None,
        seconds=cost.seconds if cost else None,
        megabytes=cost.peak_mb if cost else None,
        passes=sum(cost.passes.get("unet", {}).values()) if cost and cost.passes is not None else None,
        entry=result.entry.id,
    )


def comparable(record: Record, version: str) -> dict[str, Any]:
    """What two records must share before anybody may put them side by side."""
    known = record.provenance
    sampler = {name: value for name, value in departures(record).items() if name in SAMPLER}
    return {
        "version": version,
        "protocol": known.get("protocol"),
        "data": record.data,
        "photos": _fingerprint(known.get("data")),
        "base": record.base,
        "weights": _fingerprint(known.get("base")),
        "judge": _fingerprint(known.get("judges") or known.get("judge")),
        **({"sampler": sampler} if sampler else {}),  # only where it is not the protocol's
    }


def _fingerprint(facts: Any) -> str:
    return str(facts.get("fingerprint", "")) if isinstance(facts, dict) else ""


def _trust(result: Result) -> tuple[bool, bool, str, str]:
    entry = result.entry
    return entry.kind != "reference", result.verification is None, entry.submitted.isoformat(), entry.id


def is_control(record: Record) -> bool:
    """Whether it belongs to one of the rows that no board does without."""
    return arm_label(record) in ASIDE or record.defense.name in CONTROLS


def _key(record: Record, entry: str) -> Key:
    """What sets a record's row apart: controls of all entries share theirs."""
    name = arm_label(record)
    if name in ASIDE:
        return (name,)
    apart = surrogates_apart(record)
    settings = json.dumps([record.defense.config, record.surrogates, *([apart] if apart else [])], sort_keys=True)
    return (name, settings) if is_control(record) else (name, settings, entry)


def surrogates_apart(record: Record) -> list[dict[str, Any]]:
    """How surrogates were used, if it is neither as the protocol has it nor as the attacker's base was."""
    used = [model.model_dump() for model in record.surrogate_models or () if model != record.model]
    usual = [facts["name"] in BASES and BASES[facts["name"]].items() <= facts.items() for facts in used]
    return [] if all(usual) else used
