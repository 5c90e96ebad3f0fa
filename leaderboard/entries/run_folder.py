"""A finished run: its records, the pictures behind them as the store keeps them, and whether these may be shown.

Nothing here believes a name: a person is invented if all clean photos are, pixel by pixel, photos that came with the
package, and a picture belongs to a record if it has the hash, or the distance from the clean photos, that the record
states.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from PIL import Image

import bench
from bench.core import numbered
from bench.core.errors import BenchError
from bench.core.hashing import sha256_array, sha256_file
from bench.core.images import crop_centre, read_png, resize
from bench.core.types import Pixels
from bench.results.record import Record
from bench.store import Store
from leaderboard.entries.strict_json import parse

INVENTED = Path(bench.__file__).parent / "zoo" / "synthetic"


def load_run(run: Path) -> list[Record]:
    """All records of a run's folder, checked as strictly as a stranger's.

    Raises:
        BadEntry: a record does not follow the schema.
        BenchError: there are no records.
    """
    files = sorted((run / "cells").glob("[!.]*.json"))
    if not files:
        raise BenchError(f"{run} holds no records.", "Give the folder of a finished run, the one that holds cells/.")
    return [parse(Record, file.read_bytes(), f"{run.name}/cells/{file.name}") for file in files]


class Album:
    """The stored pictures of a run.

    Args:
        store: the run's store.
        records: all of the run's records: clean photos are found by the cells that leave them as they are.
    """

    def __init__(self, store: Store, records: Iterable[Record]) -> None:
        self._store = store
        self._clean = {
            _photos_of(r): r.stages["protect"].key
            for r in records
            if r.defense.name == "none" and "protect" in r.stages
        }

    def stage(self, record: Record, name: str) -> list[Pixels] | None:
        """What a stage (`protect`, `counter`, `generate`) left; None if the store no longer has it whole."""
        return self._load(name, record.stages[name].key) if name in record.stages else None

    def clean(self, record: Record) -> list[Pixels] | None:
        """The photos before the cloak, in the order of `protect`; None if they are not there."""
        key = self._clean.get(_photos_of(record))
        return None if key is None else self._load("protect", key)

    def _load(self, stage: str, key: str) -> list[Pixels] | None:
        if not re.fullmatch("[0-9a-f]{64}", key):  # a key becomes a path
            return None
        entry = self._store.find(stage, key)
        return None if entry is None else numbered.load(entry.path)


def open_store(root: Path) -> Store:
    """A store that is there; looking for pictures makes none.

    Raises:
        BenchError: there is none.
    """
    if not root.is_dir():
        raise BenchError(
            f"There is no store {root}.", "Give the run's with --store; $CLOAKBENCH_STORE is looked at, too."
        )
    return Store(root)


def is_invented(photos: Sequence[Pixels]) -> bool:
    """Whether there are photos, and all of them are of the people that came with the package, who do not exist."""
    return bool(photos) and all(sha256_array(photo) in _invented(len(photo)) for photo in photos)


@cache
def _invented(side: int) -> frozenset[str]:
    """Hashes of the pixels of all shipped photos at a resolution."""
    manifest = json.loads((INVENTED / "manifest.json").read_text())
    hashes = set()
    for name, facts in manifest["files"].items():
        if sha256_file(INVENTED / name) != facts["sha256"]:
            raise BenchError(f"The synthetic photo {INVENTED / name} is damaged.", "Reinstall cloakbench.")
        hashes.add(sha256_array(resize(crop_centre(Image.fromarray(read_png(INVENTED / name))), side)))
    return frozenset(hashes)


def _photos_of(record: Record) -> tuple[str, str]:
    """The data set, at its resolution, and the person whose photos the attacker had."""
    data = record.provenance.get("data")
    return str(data.get("fingerprint") if isinstance(data, dict) else None), record.photos_of or record.identity
