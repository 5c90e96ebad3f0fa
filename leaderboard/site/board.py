"""Records of many entries as the page needs them: groups that may be compared, their rows, and columns of cells.

A group holds what can be compared at all: same protocol, data, base, sampler, judge. A row is a defense with its budget
and settings. A cell is row x attack x countermeasure x person; the page computes every score from cells.
"""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Container, Iterable
from dataclasses import dataclass, field
from typing import Any

from bench.core.hashing import hash_of
from bench.results import standard
from bench.results.conditions import SAMPLER, departures
from bench.results.labels import arm_label
from bench.results.record import Record
from bench.stats.rule import CONTROLS
from leaderboard.entries.agreement import Rule
from leaderboard.site.measures import MEASURES

SIGHT = ("linf", "psnr", "ssim", "photos_recognised")
"""What cloaked photos look like, before any attack: the same for every attack."""
SHOWN = (*SIGHT, *(measure.key for measure in MEASURES))
"""Metrics that are kept."""
ASIDE = ("base", "another person")
"""Rows in which nothing of the person was there to protect."""

Key = tuple[str, ...]
"""Label, settings, and the entry that it belongs to; less the settings of what is `ASIDE`, and the entry of what is
everybody's."""


@dataclass(frozen=True, slots=True)
class Cell:
    """What is kept of a record: a board has a hundred thousand of them.

    Attributes:
        name: what its entry calls it.
        stated: how base and surrogates were used and hashes of all weights, as JSON; None where it is not stated.
        seed: of the record.
        status, reason: of the record.
        metrics: those that the page shows and that are known.
        halves: likeness by either half of the pictures; None if it is not known.
        seconds, megabytes, evaluations: cost of making the cloak, the last a photo, as `Record.evaluations`; None if it
            is not known.
        entry: which entry brought it.
        verified: whether the maintainers ran it, first or again.
    """

    name: str
    stated: tuple[str | None, ...]
    seed: int
    status: str
    reason: str
    metrics: dict[str, float]
    halves: tuple[float, float] | None
    seconds: float | None
    megabytes: float | None
    evaluations: float | None
    entry: str
    verified: bool

    def contradicts(self, other: Cell) -> bool:
        """Whether two cells of one row, place and seed were made otherwise, and so are not of one cell.

        Where both state all that decides them, that tells. Records of before version 0.2 do not: their entries' names
        for them, which were made of it, must then agree, too.
        """
        pairs = [pair for pair in zip(self.stated, other.stated, strict=True) if None not in pair]
        told = len(pairs) == len(self.stated) or self.name == other.name
        return not told or any(own != theirs for own, theirs in pairs)


Place = tuple[str, str, str]
"""Attack, countermeasures, person."""


@dataclass
class Row:
    """One line of the board.

    Attributes:
        key: what sets it apart from all other rows of the group.
        label: what it is called.
        control: whether it is one of the controls.
        entry: id of the entry that it belongs to; empty for controls that the maintainers ran, which are everybody's.
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

    def own(self) -> dict[Place, list[Cell]]:
        """The cells that tell what its cloaks cost and look like: of those that the maintainers ran, if there are any.

        Else of its own entry; never of those that broke it.
        """
        ran = {place: [cell for cell in found if cell.verified] for place, found in self.cells.items()}
        if any(ran.values()):
            return ran
        return {place: [cell for cell in found if cell.entry == self.entry] for place, found in self.cells.items()}

    def others(self) -> list[str]:
        """Ids of the entries that added to another entry's row: those that broke it, and further references."""
        return [] if self.control else sorted({cell.entry for cell in self.all()} - {self.entry})


@dataclass
class Group:
    """Rows that may be compared.

    Attributes:
        facts: what they have in common.
        threshold: those of any of its records: by them one can tell the rule, and in protocol 1 the threshold of all.
        rules: thresholds of every person.
        rows: by key.
        apart: what sets it apart from other groups of the same data and base.
    """

    facts: dict[str, Any]
    threshold: dict[str, float] = field(default_factory=dict)
    rules: dict[str, Rule] = field(default_factory=dict)
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
    def invented(self) -> bool:
        """Whether its people are those that come with the package, who do not exist."""
        return bool(self.facts["data"] == "synthetic")

    @property
    def version(self) -> tuple[int, ...]:
        """Of its protocol, to be put in order."""
        return tuple(map(int, self.facts["version"].split(".")))

    @property
    def people(self) -> int:
        """How many were tried by the maintainers; by anybody, if these tried nobody."""
        tried = [(place[2], cell) for row in self.rows.values() for place, found in row.cells.items() for cell in found]
        return len({person for person, cell in tried if cell.verified} or {person for person, _ in tried})

    def size(self, entries: Container[str] | None = None) -> tuple[int, int]:
        """How many people and rows it has; of some entries alone, without what others borrow of their controls."""
        rows = {
            key: {person for (_, _, person), found in row.cells.items() if _of(found, entries)}
            for key, row in self.rows.items()
            if entries is None or not (row.control and row.entry)
        }
        return len(set().union(*rows.values())), sum(map(bool, rows.values()))


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


def is_control(record: Record) -> bool:
    """Whether it belongs to one of the rows that no board does without."""
    return arm_label(record) in ASIDE or record.defense.name in CONTROLS


def row_key(record: Record) -> Key:
    """What sets a record's row apart, but for whose it is."""
    name = arm_label(record)
    if name in ASIDE:
        return (name,)
    apart = surrogates_apart(record)
    return name, json.dumps([record.defense.config, record.surrogates, *([apart] if apart else [])], sort_keys=True)


def surrogates_apart(record: Record) -> list[dict[str, Any]]:
    """How surrogates were used, if it is neither as the protocol has it nor as the attacker's base was."""
    used = [model.model_dump() for model in record.surrogate_models or () if model != record.model]
    usual = [standard.sampler(record.protocol, facts["name"]) for facts in used]
    as_usual = all(own and own.items() <= facts.items() for own, facts in zip(usual, used, strict=True))
    return [] if as_usual else used


def _of(cells: Iterable[Cell], entries: Container[str] | None) -> bool:
    """Whether any of some cells is of some entries."""
    return any(entries is None or cell.entry in entries for cell in cells)
