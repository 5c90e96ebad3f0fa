"""Leases: what running runs need of the store, so that nobody throws it away under them.

store/.leases/<name>.json    the keys, and whose they are
store/.leases/<name>.lock    locked for as long as the run lives; the system frees it, however the run ends
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.store import write_atomic
from bench.store.private import FILE_MODE, make_folder

FOLDER = ".leases"


@dataclass(frozen=True)
class Lease:
    """What a running run needs.

    Attributes:
        out: the run's folder, absolute.
        keys: `<stage>/<key>` of all outputs that it makes or reads.
    """

    out: str
    keys: list[str]


def gate(root: Path) -> FileLock:
    """Held while outputs are thrown away; runs begin only outside of that."""
    make_folder(root / FOLDER, root)
    return FileLock(root / FOLDER / "gate.lock", mode=FILE_MODE)


@contextmanager
def lease(root: Path, out: Path, keys: Iterable[str]) -> Iterator[None]:
    """Hold a lease; waits for a pruning to end.

    Args:
        root: the store's folder.
        out: the run's folder.
        keys: `<stage>/<key>` of all outputs that the run makes or reads.
    """
    file = root / FOLDER / f"{uuid.uuid4().hex}.json"
    lock = FileLock(file.with_suffix(".lock"), mode=FILE_MODE)
    with gate(root):
        lock.acquire()
        write_atomic(file, json.dumps(asdict(Lease(str(out.resolve()), sorted(set(keys))))).encode(), FILE_MODE)
    try:
        yield
    finally:
        _end(file, lock)


def held(root: Path) -> list[Lease]:
    """The leases of all running runs; those of dead ones are removed."""
    found = []
    for file in sorted((root / FOLDER).glob("*.json")):
        lock = FileLock(file.with_suffix(".lock"))
        try:
            lock.acquire(timeout=0)
        except Timeout:
            with suppress(FileNotFoundError):  # it ends at this moment
                found.append(Lease(**json.loads(file.read_text())))
        else:
            _end(file, lock)
    return found


def _end(file: Path, lock: FileLock) -> None:
    file.unlink(missing_ok=True)  # before its lock: a lease that is not locked is a dead run's
    lock.release()
    Path(lock.lock_file).unlink(missing_ok=True)
