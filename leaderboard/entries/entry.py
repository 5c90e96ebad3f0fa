"""`entry.json`: what an entry of the leaderboard is, who made it, and which files belong to it.

This schema is its documentation. The numbers are in the entry's records (`bench.results.record`), not here.
"""

from __future__ import annotations

import datetime
import json
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, StringConstraints, ValidationInfo, field_validator

from bench.core.strict import Strict
from bench.results import record
from leaderboard.entries.strict_json import SHA256, SLUG, URL, VERSION

SCHEMA_VERSION: Literal[1] = 1
SCHEMA_FILE = Path(__file__).parent / "entry.schema.json"

PROTOCOL = str(record.PROTOCOL)
"""Version of the rules by which numbers are made: prompts, judge, threshold, metrics. Boards never mix versions."""

RECORDS = "records.jsonl.gz"
IMAGES = "images.json"
PICTURE = r"images/[0-9a-f]{64}\.webp"

Kind = Literal["reference", "defense", "break", "correction"]

Slug = Annotated[str, StringConstraints(pattern=SLUG)]
Sha256 = Annotated[str, StringConstraints(pattern=SHA256)]
FileName = Annotated[str, StringConstraints(pattern=rf"^(records\.jsonl\.gz|images\.json|{PICTURE})$")]
Url = Annotated[str, StringConstraints(pattern=URL, max_length=500)]
Name = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Line = Annotated[str, StringConstraints(max_length=500)]


class MethodCard(Strict):
    """What a method is, in its author's words, so that a page can say it without importing the method."""

    description: Line = ""
    paper: Line = Field("", description="where and when it was published")
    evaluations: Annotated[
        record.Count | None,
        Field(description="network evaluations a photo with the published settings, of an iterative defense"),
    ] = None


class Entry(Strict):
    """One submission: a set of records with a name."""

    schema_version: Literal[1] = SCHEMA_VERSION
    id: Slug = Field(description="also the name of the entry's folder or zip")
    kind: Kind = Field(
        description="reference: by the maintainers. defense: a new one. break: an attack or a countermeasure that "
        "lowers another entry. correction: another entry, done right"
    )
    title: str = Field(min_length=1, max_length=150)
    description: str = Field("", max_length=5000)
    authors: tuple[Name, ...] = Field((), max_length=100)
    paper: Url = ""
    code: Url = ""
    licence: Name = Field(description="under which the entry is published")
    submitted: datetime.date
    protocol: str = Field("1", pattern=VERSION)  # of before there was another
    amends: Slug | None = Field(
        None, validate_default=True, description="id of the entry that a break or a correction is about"
    )
    card: dict[Name, MethodCard] = Field({}, max_length=500, description="method -> what it is")
    command: str = Field("", max_length=5000, description="the exact command, if known")
    files: dict[FileName, Sha256] = Field(max_length=10_000, description="every other file of the entry -> its hash")

    @field_validator("amends")
    @classmethod
    def _about_something(cls, value: str | None, info: ValidationInfo) -> str | None:
        kind = info.data.get("kind")
        if kind in ("break", "correction") and value is None:
            raise ValueError(f"a {kind} is about another entry: give that entry's id.")
        if kind in ("reference", "defense") and value is not None:
            raise ValueError(f"an entry of kind {kind} is about no other: leave it out, or choose break or correction.")
        if value is not None and value == info.data.get("id"):
            raise ValueError("an entry cannot be about itself: give another entry's id.")
        return value

    @field_validator("files")
    @classmethod
    def _has_records(cls, value: dict[str, str]) -> dict[str, str]:
        if RECORDS not in value:
            raise ValueError(f"{RECORDS} is missing: an entry without records says nothing.")
        return value


def schema() -> str:
    """The JSON Schema that `entry.schema.json` holds."""
    return json.dumps(Entry.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":  # python -m leaderboard.entries.entry: write the schema after a change
    SCHEMA_FILE.write_text(schema())
