"""The content-addressed store: every stage's output in a folder named by the hash of everything that made it.

    store/<stage>/<key[:2]>/<key>/   the files of one output, and meta.json with their hashes and cost

Work is done once: a process that finds the output reads it, one that does not takes the key's lock, computes into a
temporary folder and renames it into place. So a killed run leaves nothing half-written, two processes with the same
command share the work, and a damaged file is noticed and made again.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.core.errors import BenchError
from bench.core.file_names import is_file_name
from bench.core.hashing import sha256_file, sha256_files
from bench.core.meter import Cost, Meter
from bench.core.paths import expanded

META = "meta.json"


@dataclass(frozen=True)
class Entry:
    """One stored output.

    Attributes:
        path: the folder with its files.
        key: the stage key.
        cost: of the computation that made it.
        cached: whether it was there already.
    """

    path: Path
    key: str
    cost: Cost
    cached: bool


@dataclass(frozen=True)
class Meta:
    """What `meta.json` says of an output: its cost, and the hashes of its files by name."""

    cost: Cost
    files: dict[str, str]


class Store:
    """A folder shared by any number of processes and runs."""

    def __init__(self, root: Path) -> None:
        self.root = root
        root.mkdir(parents=True, exist_ok=True)

    def path(self, stage: str, key: str) -> Path:
        """Where an output is, or would be.

        Raises:
            BenchError: the stage or the key, which a record of somebody else may state, is no name of a folder.
        """
        if not (is_file_name(stage) and is_file_name(key)):
            raise BenchError(f"{stage}/{key} is no output of a store.", "Take the record as the run wrote it.")
        return Path(f"{self.root}/{stage}/{key[:2]}/{key}")

    def find(self, stage: str, key: str) -> Entry | None:
        """The output if it is there and whole, else None."""
        folder = self.path(stage, key)
        meta = read_meta(folder)
        if meta is None or any(not _is_whole(folder / name, digest) for name, digest in meta.files.items()):
            return None
        return Entry(folder, key, meta.cost, cached=True)

    def compute(self, stage: str, key: str, work: Callable[[Path], None]) -> Entry:
        """The output of a stage, computed by `work(folder)` unless it is there.

        Args:
            stage: stage name.
            key: hash of everything that determines the output.
            work: writes the output's files into the folder it is given.
        """
        found = self.find(stage, key)
        if found is not None:
            return found
        folder = self.path(stage, key)
        with self.lock(stage, key):
            found = self.find(stage, key)  # another process may have finished while this one waited
            if found is not None:
                return found
            scratch = folder.with_suffix(".partial")
            shutil.rmtree(scratch, ignore_errors=True)  # the lock is ours, so its writer is dead
            scratch.mkdir()
            with Meter() as meter:
                work(scratch)
            (scratch / META).write_text(json.dumps({**vars(meter.cost), "files": sha256_files(scratch)}))
            shutil.rmtree(folder, ignore_errors=True)  # only ever a damaged one
            scratch.rename(folder)
        return Entry(folder, key, meter.cost, cached=False)

    def cost(self, stage: str, key: str) -> Entry | None:
        """What an output cost to make, even if its files have been discarded since."""
        folder = self.path(stage, key)
        meta = read_meta(folder)
        return Entry(folder, key, meta.cost, cached=True) if meta else None

    def discard(self, stage: str, key: str) -> None:
        """Delete an output's files, but remember what they cost."""
        for item in self.path(stage, key).glob("*"):
            if item.is_dir():
                shutil.rmtree(item, ignore_errors=True)
            elif item.name != META:
                item.unlink(missing_ok=True)

    def remove(self, stage: str, key: str, leftover: Path | None = None) -> bool:
        """Throw an output away, cost and all, or a leftover of it; unless it is being made. Whether it is gone."""
        folder = leftover or self.path(stage, key)
        if not folder.exists():
            return True
        try:
            with self.lock(stage, key).acquire(timeout=0):
                (folder / META).unlink(missing_ok=True)  # first: what is half gone must not look whole
                shutil.rmtree(folder, ignore_errors=True)
        except Timeout:
            return False
        return not folder.exists()

    def lock(self, stage: str, key: str) -> FileLock:
        """The lock of one output, whose taking makes the folder above; the system frees it however its holder dies."""
        return FileLock(f"{self.path(stage, key)}.lock")


def default_root(given: str | None = None) -> Path:
    """The store's folder: the one given, else `$CLOAKBENCH_STORE`, else `store/` here."""
    return expanded(given or os.environ.get("CLOAKBENCH_STORE") or "store")


def write_atomic(path: Path, data: bytes) -> None:
    """Write a file so that readers see the old or the new content, never a part; safe with several writers."""
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        scratch.write_bytes(data)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read_meta(folder: Path) -> Meta | None:
    try:
        facts = json.loads((folder / META).read_text())
        return Meta(files=facts.pop("files"), cost=Cost(**facts))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def _is_whole(file: Path, digest: str) -> bool:
    return file.is_file() and sha256_file(file) == digest
