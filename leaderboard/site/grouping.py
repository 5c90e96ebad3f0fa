"""Records of many entries sorted into the groups, rows and cells of the board.

Anybody may send in an entry, so none changes what the board says of others (docs/concepts/board-trust.md):

- Which cell a record is of is read from what it states. The id that it calls itself by names its picture, and no more.
- Of each row, place and seed one cell counts: those of references first, then of verified entries, then by date. A
  second one within an entry is a problem of that entry.
- Controls that the maintainers ran are everybody's. Others are their own entry's: a row of its own, by which only its
  cloaks are judged, and in it each cell that the maintainers have is theirs.
- A break adds to another entry's rows attacks and countermeasures that these were not tried against, and no cell to
  those that they were: more people would move a mean as much as other numbers do.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from bench.core.hashing import hash_of
from bench.results.conditions import as_json
from bench.results.labels import attack_key, chain_key
from bench.results.leaks import likeness_in_halves
from bench.results.record import CLOAK, Record
from leaderboard.entries.agreement import Rule, differing, rule
from leaderboard.entries.entry import RECORDS, Entry, Kind
from leaderboard.entries.reader import BadEntry, Problem, Result
from leaderboard.entries.strict_json import not_understood
from leaderboard.site import group_names
from leaderboard.site.board import SHOWN, Cell, Group, Key, Place, Row, comparable, is_control, row_key


@dataclass
class _Section:
    """What an entry has of a group: cells by row and place, one record of each row, and every person's thresholds.

    Keys are without the entry.
    """

    facts: dict[str, Any]
    records: dict[Key, Record] = field(default_factory=dict)
    cells: list[tuple[Key, Place, Cell]] = field(default_factory=list)
    rules: dict[str, Rule] = field(default_factory=dict)


class Places:
    """Where the records of an entry stand on the board: each at a place of its own."""

    def __init__(self, result: Result) -> None:
        self._result = result
        self._taken: dict[tuple[str, Key, Place, int], str] = {}

    def take(self, record: Record) -> tuple[dict[str, Any], str, Key, Place]:
        """What its group has in common and its hash, what makes its row, and its place.

        Raises:
            BadEntry: another record of the entry is there, of the same seed.
        """
        facts = comparable(record, self._result.entry.protocol)
        group, row, place = hash_of(facts), row_key(record), (attack_key(record), chain_key(record), record.identity)
        other = self._taken.setdefault((group, row, place, record.seed), record.cell)
        if other != record.cell:
            both = f"{other[:12]} and {record.cell[:12]} are of one person, method and seed, and do not state what sets"
            message = f"{both} them apart. Run again with this version, or make an entry of each."
            raise BadEntry(f"{self._result.pack.file}/{RECORDS}", "cell", message)
        return facts, group, row, place


def groups(results: Iterable[Result]) -> tuple[list[Group], list[Result], list[Problem]]:
    """Sort all records into groups and rows, as the module's docstring says.

    A break joins the rows of the entry that it breaks, and a reference those of the references before it. An entry
    counts as a whole or not at all.

    Returns:
        The groups, that to begin with first; the entries that count; what is wrong with others.
    """
    read: dict[str, tuple[Result, dict[str, _Section]]] = {}
    problems = []
    for result in results:
        try:
            read[result.entry.id] = (result, _sort(result))
        except BadEntry as error:
            problems.append(error.problem)
        except Exception as error:  # whatever it is: one entry hides no other
            problems.append(not_understood(result.pack.file, error))
    while lost := [result for result, _ in read.values() if result.entry.amends not in {None, *read}]:
        for result in lost:
            message = f"the entry {result.entry.amends!r} has a problem itself. Mend that one first."
            problems.append(Problem(f"{result.pack.file}/entry.json", "amends", message))
            del read[result.entry.id]
    found: dict[str, Group] = {}
    kinds = {name: result.entry.kind for name, (result, _) in read.items()}
    for result, sections in sorted(read.values(), key=lambda pair: _turn(pair[0])):
        for name, section in sections.items():
            _add(found, name, section, result.entry, kinds)
    for group in found.values():
        _settle_controls(group)
    used = [result for result, _ in read.values()]
    return _ordered(list(found.values()), used), used, problems


def _ordered(found: Sequence[Group], results: Sequence[Result]) -> list[Group]:
    """With names. First what the maintainers ran by the latest protocol, of real people before invented ones.

    Then what they have most of; a title's groups stand together, and dates say nothing.
    """
    for group in found:
        group.apart = group_names.apart(group, [other for other in found if other.title == group.title])
    references = {result.entry.id for result in results if result.entry.kind == "reference"}
    trusted = {result.entry.id for result in results if result.trusted}
    turns = {}
    for group in found:
        sizes = group.size(references), group.size(trusted), group.size()
        ran = [size > (0, 0) for size in sizes]
        turns[group.id] = (*ran, group.version, not group.invented, *sizes)
    first = {group.title: max(turns[g.id] for g in found if g.title == group.title) for group in found}
    return sorted(found, key=lambda g: (first[g.title], g.title, turns[g.id], g.id), reverse=True)


def _sort(result: Result) -> dict[str, _Section]:
    read: dict[str, _Section] = {}
    places = Places(result)
    for record in result.records():
        facts, group, row, place = places.take(record)
        section = read.setdefault(group, _Section(facts))
        if row not in section.records:
            section.records[row] = record.model_copy(update={"images": []})
        section.cells.append((row, place, _cell(record, result)))
        if record.thresholds:
            section.rules.setdefault(record.identity, rule(record))
    return read


def _add(found: dict[str, Group], name: str, section: _Section, entry: Entry, kinds: Mapping[str, Kind]) -> None:
    """Sort what an entry has of a group into it; what contradicts the group becomes one of its own.

    Where a cell is there of the same row, place and seed, and was made otherwise, the entries differ in something that
    sets no rows apart, and may not be averaged. So they do where a person's leaks are counted by other thresholds.
    """
    group = found.get(name) or Group(section.facts)
    owners = _owners(group, section, entry, kinds)
    otherwise = any(differing(own, group.rules.get(person, own)) for person, own in section.rules.items())
    if otherwise or any(_contradicts(group, row, owners, place, cell) for row, place, cell in section.cells):
        name, group = hash_of([name, entry.id]), Group(section.facts | {"entry": entry.id})
        owners = _owners(group, section, entry, kinds)
    found[name] = group
    group.rules = {**section.rules, **group.rules}
    group.threshold = group.threshold or next(iter(section.records.values())).thresholds
    settled = {key: {place[:2] for place in row.cells} for key, row in group.rows.items() if entry.kind == "break"}
    for row, place, cell in section.cells:
        owner = owners[row, cell.verified]
        key = (*row, owner) if owner else row
        if place[:2] in settled.get(key, ()) or _there(group, key, place, cell.seed):
            continue
        if key not in group.rows:
            record = section.records[row]
            group.rows[key] = Row(key, row[0], is_control(record), owner, record)
        group.rows[key].cells[place].append(cell)


Owners = dict[tuple[Key, bool], str]
"""Row, and whether the maintainers ran the cell -> the entry that it belongs to; empty: everybody's."""


def _owners(group: Group, section: _Section, entry: Entry, kinds: Mapping[str, Kind]) -> Owners:
    found: Owners = {}
    for row, record in section.records.items():
        owner = entry.id if is_control(record) else _owner(group, row, entry, kinds)
        found |= {(row, True): "" if is_control(record) else owner, (row, False): owner}
    return found


def _owner(group: Group, row: Key, entry: Entry, kinds: Mapping[str, Kind]) -> str:
    """The entry whose row the cells of a cloak go to."""
    for key, there in group.rows.items():
        if there.control or key[:-1] != row:
            continue
        if entry.kind == "reference" and kinds[there.entry] == "reference":
            return there.entry
        if entry.kind == "break" and any(cell.entry == entry.amends for cell in there.all()):
            return there.entry
    return entry.id


def _contradicts(group: Group, row: Key, owners: Owners, place: Place, cell: Cell) -> bool:
    """Whether a cell was made otherwise than one that is there, of its row or of that control of the maintainers."""
    keys = {row, (*row, owners[row, cell.verified])}
    return any(cell.contradicts(other) for key in keys for other in _there(group, key, place, cell.seed))


def _there(group: Group, key: Key, place: Place, seed: int) -> list[Cell]:
    """The cells of a seed at a place: one, or none."""
    row = group.rows.get(key)
    return [cell for cell in row.cells.get(place, ()) if cell.seed == seed] if row else []


def _settle_controls(group: Group) -> None:
    """Give every entry's own controls the cells that the maintainers ran; what these have all of is no row."""
    for key, row in list(group.rows.items()):
        shared = group.rows.get(key[:-1])
        if row.entry and row.control and shared:
            own = {place: cells for place, cells in row.cells.items() if place not in shared.cells}
            row.cells = defaultdict(list, {**shared.cells, **own})
            if not own:
                del group.rows[key]


def _cell(record: Record, result: Result) -> Cell:
    costs, likeness = [record.stages[stage] for stage in CLOAK if stage in record.stages], likeness_in_halves(record)
    return Cell(
        name=record.cell,
        stated=_stated(record),
        seed=record.seed,
        status=record.status,
        reason=record.reason,
        metrics={name: value for name in SHOWN if (value := record.metric(name)) is not None},
        halves=likeness[1:] if likeness else None,
        seconds=sum(cost.seconds for cost in costs) if costs else None,
        megabytes=max((cost.peak_mb for cost in costs), default=None),
        evaluations=record.evaluations,
        entry=result.entry.id,
        verified=result.vouched(record.cell),
    )


def _stated(record: Record) -> tuple[str | None, ...]:
    plain = record.model_dump(include={"model", "surrogate_models", "weights"})
    return tuple(None if value is None else as_json(value) for value in plain.values())


def _turn(result: Result) -> tuple[bool, bool, bool, str, str]:
    """Whose cells count where several entries have one: what breaks others comes after these, whoever ran it."""
    entry = result.entry
    known = entry.kind != "reference", result.verification is None
    return entry.kind == "break", *known, entry.submitted.isoformat(), entry.id
