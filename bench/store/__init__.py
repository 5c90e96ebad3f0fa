"""The content-addressed store: every stage's output in a folder named by the hash of everything that made it.

    store/<stage>/<key[:2]>/<key>/   the files of one output, and meta.json with their hashes, cost, and whose they are

Work is done once: a process that finds the output reads it, one that does not takes the key's lock, computes into a
temporary folder and renames it into place. So a killed run leaves nothing half-written, two processes with the same
command share the work, and a damaged file is noticed and made again. The store holds faces: it is its owner's alone.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import time
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import dataclass
from pathlib import Path

from filelock import FileLock, Timeout

from bench.core.errors import BenchError
from bench.core.file_names import is_file_name
from bench.core.hashing import sha256_file, sha256_files
from bench.core.meter import Cost, Meter
from bench.core.paths import expanded
from bench.store import private

META = "meta.json"
NOBODYS = ("class",)
"""Stages whose outputs are made of nobody's photos, whoever asks for them first."""
_about: ContextVar[str] = ContextVar("_about", default="")


@contextlib.contextmanager
def about(person: str) -> Iterator[None]:
    """What is computed inside is derived from this person's photos, so that it can be forgotten; "" is nobody."""
    token = _about.set(person)
    try:
        yield
    finally:
        _about.reset(token)


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
    """What `meta.json` says of an output: its cost, the hashes of its files by name, and from whose photos it comes."""

    cost: Cost
    files: dict[str, str]
    people: tuple[str, ...] = ()


class Store:
    """A folder shared by any number of one user's processes and runs.

    Raises:
        BenchError: it belongs to another user.
    """

    def __init__(self, root: Path) -> None:
        self.root = root
        private.make_root(root)

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
        try:
            if meta is None or not is_whole(folder, meta.files):
                return None
        except FileNotFoundError:  # it goes at this moment
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
        with self.lock(stage, key):
            found = self.find(stage, key)  # another process may have finished while this one waited
            if found is not None:
                return found
            scratch = self._scratch(stage, key)
            with Meter() as meter:
                work(scratch)
            return self._keep(stage, key, meter.cost)

    def compute_many(
        self,
        stage: str,
        people: Mapping[str, str],
        work: Callable[[dict[str, Path]], Mapping[str, Exception]],
        places: int,
    ) -> dict[str, Entry | Exception]:
        """Several outputs of a stage, of which those that are not there are computed together.

        Args:
            stage: stage name.
            people: key -> whose output that is, as `about` says it of one.
            work: writes each output's files into the folder that it is given under its key. It returns what went wrong,
                by key: of these outputs nothing is kept, and the others are kept all the same.
            places: how many there is room for; see `Cost.share`.
        """
        done: dict[str, Entry | Exception] = {}
        with contextlib.ExitStack() as locks:
            for key in sorted(people):  # everybody's order, so that no two processes wait for each other
                locks.enter_context(self.lock(stage, key))
                if (found := self.find(stage, key)) is not None:
                    done[key] = found
            missing = {key: self._scratch(stage, key) for key in people if key not in done}
            if missing:
                with Meter() as meter:
                    done |= work(missing)
                cost = meter.cost.share(len(missing), places)
                for key in missing:
                    if key not in done:
                        with about(people[key]):
                            done[key] = self._keep(stage, key, cost)
        return done

    def _scratch(self, stage: str, key: str) -> Path:
        """An empty folder to write an output into, for who has its lock."""
        scratch = self.path(stage, key).with_suffix(".partial")
        private.clear(scratch)  # the lock is ours, so its writer is dead
        scratch.mkdir(private.FOLDER_MODE)
        return scratch

    def _keep(self, stage: str, key: str, cost: Cost) -> Entry:
        """Make what was written an output."""
        folder = self.path(stage, key)
        scratch = folder.with_suffix(".partial")
        people = [_about.get()] if _about.get() and stage not in NOBODYS else []
        facts = {**vars(cost), "files": sha256_files(scratch), "people": people}
        (scratch / META).write_text(json.dumps(facts))
        private.close(scratch)
        private.clear(folder)  # only ever a damaged one
        scratch.rename(folder)
        return Entry(folder, key, cost, cached=False)

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
                private.clear(folder)
        except Timeout:
            return False
        return not folder.exists()

    def lock(self, stage: str, key: str) -> FileLock:
        """The lock of one output, with the folder that it is in; the system frees it however its holder dies."""
        private.make_folder(self.path(stage, key).parent, self.root)
        return FileLock(f"{self.path(stage, key)}.lock", mode=private.FILE_MODE)


def default_root(given: str | None = None) -> Path:
    """The store's folder: the one given, else `$CLOAKBENCH_STORE`, else `store/` here."""
    return expanded(given or os.environ.get("CLOAKBENCH_STORE") or "store")


def write_atomic(path: Path, data: bytes, mode: int = 0o666) -> None:
    """Write a file so that readers see the old or the new content, never a part; safe with several writers.

    Args:
        path: the file; folders above it are made.
        data: what is to be in it.
        mode: its permissions, less those that the umask takes away.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    scratch = path.with_name(f".{path.name}.{os.getpid()}.{time.monotonic_ns()}")
    try:
        with os.fdopen(os.open(scratch, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(data)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def read_meta(folder: Path) -> Meta | None:
    try:
        facts = json.loads((folder / META).read_text())
        return Meta(files=facts.pop("files"), people=tuple(facts.pop("people", ())), cost=Cost(**facts))
    except (OSError, ValueError, TypeError, LookupError, AttributeError):
        return None


def is_whole(folder: Path, files: Mapping[str, str]) -> bool:
    """Whether an output's files are those that its `meta.json` lists, no more and no fewer, and as they were made.

    A link is none of them, nor is anything that another user has put there.

    Raises:
        FileNotFoundError: something disappears meanwhile.
    """
    return private.plain_files(folder) == {META, *files} and all(
        sha256_file(folder / name) == digest for name, digest in files.items()
    )
