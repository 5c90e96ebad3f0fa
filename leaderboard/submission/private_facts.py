"""What an entry would tell the world and should not: folders of the submitter's machine, and names of real people."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from bench.core.errors import BenchError
from bench.core.pseudonyms import is_code
from bench.core.stated_paths import shortened
from bench.results.record import Record
from leaderboard.entries.entry import Entry

SHOWN = 5
INVENTED = "synthetic"
"""The data set whose people do not exist."""


def refuse_private(records: Sequence[Record], entry: Entry, own_names: bool) -> None:
    """Refuse to publish absolute paths, and names of people that are no pseudonyms.

    Args:
        records: those of the run.
        entry: what is said of it.
        own_names: whether the submitter says that names may be published.

    Raises:
        BenchError: names the fields, or how many people there are; never a person.
    """
    places = dict.fromkeys(place for facts in (*records, entry) for place in _with_path(facts.model_dump(mode="json")))
    if places:
        raise BenchError(
            f"Absolute paths would be published: {_several(places)}.",
            "Of the records: repeat the run's command, which takes all from the store and writes them without. "
            "Of the entry: write the path as it is seen from the project's folder.",
        )
    named = {record.identity for record in records if record.data != INVENTED and not is_code(record.identity)}
    if named and not own_names:
        raise BenchError(
            f"{len(named)} people are called by what may be their names.",
            "Repeat the run's command, without data.names=own: records then have pseudonyms. "
            "If these people agreed to be named, or these are no names, say so with --own-names.",
        )


def _with_path(value: Any, place: str = "") -> Iterator[str]:
    """Where in plain values a text has an absolute path."""
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _with_path(each, f"{place}.{key}".strip("."))
    elif isinstance(value, list):
        for each in value:
            yield from _with_path(each, place)
    elif isinstance(value, str) and shortened(value) != value:
        yield place


def _several(places: Iterable[str]) -> str:
    listed = list(places)
    return ", ".join(listed[:SHOWN]) + (f" and {len(listed) - SHOWN} more" if len(listed) > SHOWN else "")
