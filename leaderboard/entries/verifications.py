"""`verified.json`: which entries a maintainer has run again, and how well the numbers agreed; maintainers write it.

A verification holds for the files that were there: it names the hash of the entry's list of them, and other records or
pictures under the same id do not inherit it. What is said in `entry.json` (title, authors, description) is not part of
it.
"""

from __future__ import annotations

import datetime
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, Field, RootModel

from bench.core.hashing import hash_of
from bench.core.strict import Strict
from bench.store import write_atomic
from leaderboard.entries.entry import Entry, Name, Sha256, Slug
from leaderboard.entries.strict_json import WHOLE, BadEntry, parse

VERIFIED = "verified.json"
LIMIT = 4 * 2**20

M = TypeVar("M", bound=BaseModel)


class Verification(Strict):
    """One entry's rerun."""

    by: Name
    date: datetime.date
    cells: int = Field(ge=1, description="cells that were run again and agree")
    of: int = Field(ge=1, description="cells of the entry")
    only: tuple[Sha256, ...] = Field((), description="those that were run again, if they are not all")
    largest_difference: float = Field(ge=0, description="of any score in [-1, 1] of any cell (see review.verify)")
    files_sha256: Sha256 = Field(description="hash of `files` of entry.json: of records and pictures")

    @property
    def whole(self) -> bool:
        """Whether every cell of the entry was run again."""
        return self.cells == self.of and not self.only

    def covers(self, cell: str) -> bool:
        """Whether a cell was."""
        return self.whole or cell in self.only

    def holds_for(self, entry: Entry) -> bool:
        """Whether the entry's files are those that were verified."""
        return self.files_sha256 == files_sha256(entry)


class Verifications(RootModel[dict[Slug, Verification]]):
    """Entry id -> its verification."""


def files_sha256(entry: Entry) -> str:
    """Hash of names and hashes of an entry's files."""
    return hash_of(dict(entry.files))


def read(file: Path) -> dict[str, Verification]:
    """All of them; none if there is no such file.

    Raises:
        BadEntry: the file does not follow the schema.
    """
    found = read_list(file, Verifications)
    return found.root if found else {}


def read_list(file: Path, model: type[M]) -> M | None:
    """A file that maintainers write; None if there is none.

    Raises:
        BadEntry: the file does not follow the schema.
    """
    if file.is_symlink() or (file.is_file() and file.stat().st_size > LIMIT):
        raise BadEntry(file.name, WHOLE, f"is a link, or has more than {LIMIT} bytes. Put a plain file here.")
    return parse(model, file.read_bytes(), file.name) if file.is_file() else None


def write(file: Path, entry: str, verification: Verification) -> None:
    """Add one, or replace that of the same entry.

    Raises:
        BadEntry: the file is there and does not follow the schema.
    """
    found = Verifications(dict(sorted({**read(file), entry: verification}.items())))
    write_atomic(file, (found.model_dump_json(indent=1) + "\n").encode())
