"""The files of one entry, in a folder or a zip: read by allow-listed names and within limits, never extracted.

Everything about an entry may be hostile. So names are compared with a list before anything is opened, declared sizes
are checked before reading and actual ones while reading, links are never followed, and nothing is written. What
operating systems put beside the files is passed over, unread.
"""

from __future__ import annotations

import hashlib
import re
import struct
import zipfile
import zlib
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from bench.core.litter import is_litter
from leaderboard.entries.entry import IMAGES, PICTURE, RECORDS
from leaderboard.entries.strict_json import WHOLE, BadEntry

ENTRY = "entry.json"
MB = 2**20

LIMITS = {ENTRY: MB, IMAGES: 4 * MB, RECORDS: 256 * MB}
"""Bytes that a file may have; `RECORDS` is compressed, and `Result.records` limits what comes out."""
PICTURE_LIMIT = 2 * MB
TOTAL_LIMIT = 1024 * MB
MAX_FILES = 10_000
MAX_RATIO = 200
"""How much smaller than its content a member of a zip may be."""
DIRECTORY_LIMIT = 200 * MAX_FILES
"""Bytes of a zip's list of members: it is read as a whole, before any member can be looked at."""

COMPRESSIONS = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED)
"""Of members of a zip: what every tool writes. Others are slower to read, and fail in ways of their own."""

UNREADABLE = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, struct.error, ValueError)
"""What reading damaged files raises. RuntimeError is an encrypted member, ValueError a name or a place that is none."""


class Pack(ABC):
    """The files of an entry.

    Attributes:
        file: what messages call it.
        name: that without `.zip`.
        sizes: name -> size in bytes as declared; every name is an allowed one.
    """

    def __init__(self, path: Path) -> None:
        """Look at names and sizes.

        Raises:
            BadEntry: it holds what it must not hold, or too much.
        """
        self.file = path.name
        self.name = path.name if path.is_dir() else path.stem
        self._path = path
        self.sizes = self._admit(self._list())

    @abstractmethod
    def _list(self) -> Iterable[tuple[str, int]]:
        """Names and declared sizes of everything in it."""

    @abstractmethod
    def _open(self, name: str) -> IO[bytes]:
        """A file that is in it."""

    @contextmanager
    def open(self, name: str) -> Iterator[IO[bytes]]:
        """A file for reading; damage found meanwhile is a `BadEntry` that names it."""
        if name not in self.sizes:
            raise self.bad(name, "this file is missing. Pack the entry again.")
        try:
            with self._open(name) as stream:
                yield stream
        except UNREADABLE as error:
            raise self.bad(name, f"damaged ({type(error).__name__}: {error}). Pack the entry again.") from None

    def read(self, name: str) -> bytes:
        """A whole file."""
        with self.open(name) as stream:
            data = stream.read(limit(name) + 1)
        if len(data) > limit(name):
            raise self.bad(name, f"has more than the {limit(name)} bytes that are allowed. Make it smaller.")
        return data

    def sha256(self, name: str) -> str:
        """Hash of a file's bytes."""
        digest = hashlib.sha256()
        with self.open(name) as stream:
            while chunk := stream.read(MB):
                digest.update(chunk)
        return digest.hexdigest()

    def bad(self, name: str, message: str) -> BadEntry:
        """The error about one file as a whole."""
        return BadEntry(f"{self.file}/{name}", WHOLE, message)

    def _admit(self, files: Iterable[tuple[str, int]]) -> dict[str, int]:
        sizes: dict[str, int] = {}
        total = 0
        for name, size in files:
            if name not in LIMITS and not re.fullmatch(PICTURE, name):
                raise self.bad(name, f"unknown file. An entry holds {ENTRY}, {RECORDS}, {IMAGES}, images/<cell>.webp.")
            if name in sizes:
                raise self.bad(name, "this file is there twice. Keep one.")
            if size > limit(name):
                raise self.bad(name, f"has {size} bytes, and {limit(name)} are allowed. Make it smaller.")
            sizes[name] = size
            total += size
            if len(sizes) > MAX_FILES or total > TOTAL_LIMIT:
                raise BadEntry(
                    self.file, WHOLE, f"more than {MAX_FILES} files or {TOTAL_LIMIT} bytes. Leave pictures out."
                )
        return sizes


class _Folder(Pack):
    def _list(self) -> Iterator[tuple[str, int]]:
        for path in self._files(self._path):
            yield path.relative_to(self._path).as_posix(), path.stat().st_size

    def _files(self, folder: Path) -> Iterator[Path]:
        for path in sorted(folder.iterdir()):
            if is_litter(path.name):
                continue
            name = path.relative_to(self._path).as_posix()
            if path.is_symlink():
                raise self.bad(name, "is a link. Put the file itself here.")
            if path.is_dir() and name == "images":
                yield from self._files(path)
            elif path.is_file():
                yield path
            else:
                raise self.bad(name, "is no plain file. Remove it.")

    def _open(self, name: str) -> IO[bytes]:
        return (self._path / name).open("rb")


class _Zip(Pack):
    """Of the files, or of the folder with the files: what a right click on the folder makes."""

    def _list(self) -> Iterator[tuple[str, int]]:
        self._check_directory()
        self._zip = zipfile.ZipFile(self._path)
        self._members: dict[str, zipfile.ZipInfo] = {}
        members = [one for one in self._zip.infolist() if not any(map(is_litter, one.filename.split("/")))]
        top = _common_folder([one.filename for one in members])
        for member in members:
            name = member.filename.removeprefix(top)
            if name in ("", "images/"):
                continue
            if member.compress_type not in COMPRESSIONS:
                raise self.bad(name, "is neither stored nor deflated. Zip the folder again, in the usual way.")
            if member.file_size > MAX_RATIO * max(member.compress_size, 1):
                raise self.bad(name, f"is packed smaller than 1 : {MAX_RATIO}. Pack real files.")
            self._members[name] = member
            yield name, member.file_size

    def _check_directory(self) -> None:
        """Raises BadEntry if the list of members, which zipfile reads as a whole, is too long or hard to find."""
        with self._path.open("rb") as stream:
            size = stream.seek(0, 2)
            stream.seek(max(0, size - 42))
            tail = stream.read()[-42:]
        end, large = tail[-22:], tail[:-22][-20:].startswith(b"PK\6\7")
        if size > TOTAL_LIMIT or len(end) < 22 or not end.startswith(b"PK\5\6") or end[20:] != b"\0\0" or large:
            raise BadEntry(
                self.file, WHOLE, "is no plain zip (comments and zip64 are not taken). Zip the folder again."
            )
        (length,) = struct.unpack("<I", end[12:16])
        if length > DIRECTORY_LIMIT:
            raise BadEntry(self.file, WHOLE, f"has more than the {MAX_FILES} files that are allowed. Remove some.")

    def _open(self, name: str) -> IO[bytes]:
        return self._zip.open(self._members[name])


def _common_folder(names: Sequence[str]) -> str:
    """The one folder that holds all members of a zip, with its slash, or nothing."""
    tops = {name.partition("/")[0] for name in names}
    if len(tops) != 1 or tops & {"", ".", "..", "images"}:
        return ""
    top = f"{tops.pop()}/"
    return top if all(name.startswith(top) for name in names) else ""


def limit(name: str) -> int:
    """The largest size in bytes of a file of this name."""
    return LIMITS.get(name, PICTURE_LIMIT)


def named(path: Path) -> Path:
    """The same place, by its own name: "." has none."""
    return path if path.name not in ("", "..") else path.resolve()


def open_pack(path: Path) -> Pack:
    """An entry's folder or zip.

    Raises:
        BadEntry: it is neither, cannot be read, or holds what it must not hold, or too much.
    """
    path = named(path)
    try:
        if path.is_symlink():
            raise BadEntry(path.name, WHOLE, "is a link. Put the entry itself here.")
        if path.is_dir():
            return _Folder(path)
        if path.is_file() and path.suffix.lower() == ".zip":
            return _Zip(path)
    except UNREADABLE as error:
        raise BadEntry(path.name, WHOLE, f"cannot be read ({type(error).__name__}). Pack the entry again.") from None
    raise BadEntry(path.name, WHOLE, f"is no entry: neither a folder with {ENTRY} nor a .zip of one.")
