"""The names of real people end here, where they are loaded: what follows, and all that is stored, has pseudonyms.

Only who runs the benchmark is told who that is, on the terminal: `told` puts names and files back into a message.
"""

from __future__ import annotations

import dataclasses
import re
from collections import defaultdict
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import TypeVar

from bench.core.names import composed
from bench.core.pseudonyms import is_code, pseudonym
from bench.core.types import Dataset, Identity, Photo
from bench.data import Source, fingerprint
from bench.data.people import PeopleSource
from bench.store.secret import secret

S = TypeVar("S", bound=Source)
TOKEN = re.compile(r"\w+(?:/[ABC]\d+)?")
"""A person's code, or one of the person's photos: "p0123456789ab/B2" is the second of set B."""


def load(source: Source, resolution: int, store: Path) -> Dataset:
    """A source's people under their pseudonyms; invented people, and those of `data.names=own`, under their names.

    Pseudonyms are salted with the name of a published data set, else with the store's secret.

    Raises:
        BenchError: as `Source.load`; or the store cannot keep a secret.
    """
    if source.invented:
        return source.load(resolution)

    @cache
    def code(name: str) -> str:
        return name if is_code(name) else pseudonym(name, source.published or secret(store))

    source = _as_named(source, code)
    data = source.load(resolution)
    if getattr(source, "names", "pseudonyms") == "own":
        return data
    left_out = map(composed, source.exclude if isinstance(source, PeopleSource) else ())
    return _under_codes(data, code, {code(name): name for name in left_out})


def told(data: Dataset, text: str) -> str:
    """A message as the person at the terminal understands it, with people's names and their photos' places."""
    for said, own in data.own.items():
        if " " in said:  # a whole sentence
            text = text.replace(said, own)
    return TOKEN.sub(lambda match: data.own.get(match[0], match[0]), text)


def stored(data: Dataset, person: Identity, text: str) -> str:
    """A message that may name people or photos, from wherever it comes, as it may be stored."""
    own = {own: said for said, own in data.own.items() if said.partition("/")[0] == person.name and "/" in said}
    own |= {photo.name: photo.place for _, photo in person.by_set()} if own else {}
    own |= {own: said for said, own in data.own.items() if "/" not in said and " " not in said}
    for name in sorted((name for name in own if name != own[name]), key=len, reverse=True):
        text = re.sub(rf"(?<![^\W_]){re.escape(name)}(?![^\W_])", own[name], text)
    return text


def legend(data: Dataset, most: int) -> str:
    """Who of the selected people is who, for the terminal; empty if all go by their own names."""
    called = [f"{data.own[code]} is {code}" for code in data.selected if data.own.get(code, code) != code]
    more = f", and {len(called) - most} more" if len(called) > most else ""
    said = f"Stored under pseudonyms: {', '.join(called[:most])}{more} (data.names=own would store names)."
    return said if called else ""


def _as_named(source: S, code: Callable[[str], str]) -> S:
    """A source in whose selection every pseudonym is the name that it stands for."""
    if not isinstance(source, PeopleSource):
        return source
    if not any(map(is_code, (*source.identities, *source.exclude))):
        return source
    names = {code(name): name for name in source.everybody()}
    identities, exclude = (
        tuple(names.get(name, name) for name in given) for given in (source.identities, source.exclude)
    )
    return dataclasses.replace(source, identities=identities, exclude=exclude)


def _under_codes(data: Dataset, code: Callable[[str], str], left_out: dict[str, str]) -> Dataset:
    own, people = left_out, []
    for person in data.identities:
        name, sets = code(person.name), defaultdict[str, list[Photo]](list)
        own[name] = person.name
        for part, photo in person.by_set():
            place = f"{name}/{part}{len(sets[part]) + 1}"
            own[place] = person.place(part, photo)
            sets[part].append(dataclasses.replace(photo, place=place))
        problem = f"a photo of {name} cannot be cut around a face" if person.problem else ""
        own |= {problem: person.problem} if problem else {}
        skipped = (f"files that are no photos: {len(person.skipped)}",) if person.skipped else ()
        reference, protect, extra = (tuple(sets[part]) for part in "ABC")
        people.append(Identity(name, reference, protect, extra, problem, skipped))
    same = all(person.name == old.name for person, old in zip(people, data.identities, strict=True))
    return dataclasses.replace(
        data,
        identities=tuple(people),
        selected=tuple(map(code, data.selected)),
        fingerprint=data.fingerprint if same else fingerprint(people),
        own=own,
    )
