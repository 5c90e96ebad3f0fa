"""`maintained.json`: which entries the maintainers answer for. Only maintainers change it.

    {"references": ["reference-synthetic"], "corrections": {"mine-again": "mine"}}

Whoever writes an entry may write anything into it: that it is a reference, that it corrects somebody else's, or
somebody else's name as its author. So an entry is a reference, or supersedes another one, if it is in this file, which
lies beside the entries.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from pydantic import Field

from bench.core.strict import Strict
from leaderboard.entries.entry import Entry, Slug
from leaderboard.entries.verifications import VERIFIED, Verification, read, read_list

MAINTAINED = "maintained.json"


class Maintained(Strict):
    """The lists.

    Attributes:
        references: ids of the maintainers' own entries.
        corrections: id of a correction -> id of the entry that it supersedes.
    """

    references: tuple[Slug, ...] = ()
    corrections: dict[Slug, Slug] = Field(default_factory=dict)

    def lists(self, entry: Entry) -> bool:
        """Whether an entry is what it says it is: a reference, or a correction of what it amends."""
        if entry.kind == "correction":
            return entry.amends is not None and self.corrections.get(entry.id) == entry.amends
        return entry.kind == "reference" and entry.id in self.references


@dataclass(frozen=True)
class Trust:
    """What the maintainers say of the entries of a folder: `maintained.json` and `verified.json`."""

    maintained: Maintained
    verified: Mapping[str, Verification]

    @classmethod
    def nobody(cls) -> Trust:
        """Of a folder without either file."""
        return Trust(Maintained(), {})

    @classmethod
    def of(cls, root: Path) -> Trust:
        """That of a folder of entries.

        Raises:
            BadEntry: one of the files does not follow its schema.
        """
        return Trust(read_list(root / MAINTAINED, Maintained) or Maintained(), read(root / VERIFIED))
