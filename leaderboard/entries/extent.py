"""How much an entry may hold: of its records together, and of what a single one says beside its pictures.

A page has a cell for every row, attack, countermeasures and person of a board, so a few kilobytes of records that name
many of each could make it as large as they like.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from bench.results.conditions import as_json, conditions
from bench.results.labels import attack_key, chain_key
from bench.results.record import Record
from leaderboard.entries.strict_json import WHOLE, BadEntry

MOST = {
    "records": 50_000,
    "people": 1_000,
    "attacks with their settings": 64,
    "chains of countermeasures with their settings": 64,
    "defenses with their settings": 256,
    "boards": 32,
}
"""What there may be of each in an entry. Boards: combinations of data, base, sampler, protocol and judges."""
NAME = 200
"""Characters of a name."""
TEXT = 5_000
"""Characters of a reason, or of settings or conditions as JSON."""
PROVENANCE = 50_000


class Extent:
    """What the records of an entry hold, counted while they are read."""

    def __init__(self) -> None:
        self._seen: dict[str, set[str]] = defaultdict(set)

    def add(self, record: Record, file: str) -> None:
        """Count one more.

        Raises:
            BadEntry: it is too much; `file` is the record's.
        """
        for field, size, most in _sizes(record):
            if size > most:
                raise BadEntry(file, field, f"has {size} characters, and {most} are allowed. Make it shorter.")
        for name, value in _named(record):
            seen = self._seen[name]
            seen.add(value)
            if len(seen) > MOST[name]:
                raise BadEntry(file, WHOLE, f"more than {MOST[name]} {name} are in this entry. Make several entries.")


def _named(record: Record) -> Iterator[tuple[str, str]]:
    """What is counted, and which one of each a record is."""
    yield "records", record.cell
    yield "people", record.identity
    yield "attacks with their settings", attack_key(record)
    yield "chains of countermeasures with their settings", chain_key(record)
    used = [model.model_dump() for model in record.surrogate_models or ()]
    yield "defenses with their settings", as_json([record.defense.model_dump(), record.surrogates, used])
    yield "boards", as_json({name: value for name, value in conditions(record).items() if name != "seed"})


def _sizes(record: Record) -> Iterator[tuple[str, int, int]]:
    """(field, characters, the most that are allowed) of what is not numbers."""
    yield "data", len(record.data), NAME
    yield "identity", len(record.identity), NAME
    yield "photos_of", len(record.photos_of), NAME
    yield "base", len(record.base), NAME
    yield "reason", len(record.reason), TEXT
    yield "surrogates", len(as_json(record.surrogates)), TEXT
    yield "data_config", len(as_json(record.data_config)), TEXT
    yield "countermeasure", len(as_json([each.model_dump() for each in record.countermeasure])), TEXT
    for field, method in (("defense", record.defense), ("attack", record.attack)):
        yield f"{field}.name", len(method.name), NAME
        yield f"{field}.config", len(as_json(method.config)), TEXT
    models = [each.model_dump() for each in (record.model, *(record.surrogate_models or ())) if each]
    yield "model", len(as_json(models)), TEXT
    yield "provenance", len(as_json(record.provenance)), PROVENANCE
    yield "provenance.protocol", len(as_json(record.provenance.get("protocol"))), TEXT
