"""Everything of one person: what the store has that is derived from somebody's photos, and which runs name them."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterator, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.names import composed
from bench.core.pseudonyms import PUBLISHED, pseudonym
from bench.store import NOBODYS, Store
from bench.store.inventory import Item, items
from bench.store.lease import gate, held
from bench.store.prune import named, remove
from bench.store.secret import FILE, secret


def called(person: str, root: Path) -> set[str]:
    """All that somebody may be called in a store: the name as given, and its pseudonyms."""
    name = composed(person)
    salts = [*PUBLISHED, *([secret(root)] if (root / FILE).is_file() else [])]
    return {name, *(pseudonym(name, salt) for salt in salts)}


def runs_of(names: Collection[str], runs: Path) -> tuple[list[Path], set[str]]:
    """The folders of runs that have records or plans of a person, and `<stage>/<key>` of what these name."""
    folders, keys = dict[Path, None](), set[str]()
    for file in sorted([*runs.rglob("cells/[!.]*.json"), *runs.rglob("plan.json")]):
        try:
            content = json.loads(file.read_text())
            mine = list(_of(names, content))
            keys |= {key for part in mine for key in named(part)}
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            continue  # neither a record nor a plan
        if mine:
            folders[file.parent if file.name == "plan.json" else file.parents[1]] = None
    return list(folders), keys


def forget(store: Store, names: Collection[str], keys: Collection[str]) -> tuple[list[Item], list[Item], int]:
    """Throw away all of a person, and what dead processes have left, whoever's that was.

    Args:
        store: where.
        names: what the person is called.
        keys: `<stage>/<key>` of what runs have of the person: an older version did not note whose an output is.

    Returns:
        What is gone; what is not, since it is being made at this moment; and of how many others the store does not
        say whose they are.

    Raises:
        BenchError: a run that is going on needs some of it.
    """
    with gate(store.root):  # a run that begins meanwhile waits
        everything = list(items(store))
        mine = [i for i in everything if set(i.people) & set(names) or f"{i.stage}/{i.key}" in keys or i.unfinished]
        for lease in held(store.root):
            if {f"{item.stage}/{item.key}" for item in mine if not item.unfinished} & set(lease.keys):
                raise BenchError(
                    f"The run in {lease.out} needs what is to be forgotten.", "Wait for its end, or stop it."
                )
        gone = remove(store, mine)
    left = [item for item in mine if item not in gone]
    unsure = [i for i in everything if i not in mine and not i.people and i.stage not in NOBODYS]
    return gone, left, len(unsure)


def by_stage(gone: Sequence[Item]) -> dict[str, list[Item]]:
    """Stage -> outputs."""
    groups: dict[str, list[Item]] = {}
    for item in gone:
        groups.setdefault(item.stage, []).append(item)
    return groups


def _of(names: Collection[str], content: Any) -> Iterator[Any]:
    """What of a plan, or whether a record, is of a person."""
    if "cells" in content:
        mine = [cell for cell in content["cells"] if cell["identity"] in names]
        if mine:
            yield {"cells": mine}
    elif content["identity"] in names:
        yield content
