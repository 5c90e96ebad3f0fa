"""`verified.json`: which entries a maintainer has run again, and how well the numbers agreed; maintainers write it.

A verification holds for the records that were compared: it names their hash, and other records under the same id do
not inherit it.
"""

from __future__ import annotations

import datetime
from pathlib import Path

from pydantic import Field, RootModel

from bench.core.strict import Strict
from bench.store import write_atomic
from leaderboard.entries.entry import Name, Sha256, Slug
from leaderboard.entries.strict_json import WHOLE, BadEntry, parse

VERIFIED = "verified.json"
LIMIT = 4 * 2**20


class Verification(Strict):
    """One entry's rerun."""

    by: Name
    date: datetime.date
    cells: int = Field(ge=1, description="cells that were run again; an entry may have more")
    largest_difference: float = Field(ge=0, description="of any score in [-1, 1] of any cell (see review.verify)")
    records_sha256: Sha256


class Verifications(RootModel[dict[Slug, Verification]]):
    """Entry id -> its verification."""


def read(file: Path) -> dict[str, Verification]:
    """All of them; none if there is no such file.

    Raises:
        BadEntry: the file does not follow the schema.
    """
    if not file.is_file():
        return {}
    if file.is_symlink() or file.stat().st_size > LIMIT:
        raise BadEntry(file.name, WHOLE, f"is a link, or has more than {LIMIT} bytes. Put a plain file here.")
    return parse(Verifications, file.read_bytes(), file.name).root


def write(file: Path, entry: str, verification: Verification) -> None:
    """Add one, or replace that of the same entry.

    Raises:
        BadEntry: the file is there and does not follow the schema.
    """
    found = Verifications(dict(sorted({**read(file), entry: verification}.items())))
    write_atomic(file, (found.model_dump_json(indent=1) + "\n").encode())
