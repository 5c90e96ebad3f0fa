"""What a pull request may do to the folder of entries: add valid ones. Whatever else it does is the maintainers'.

The workflow `submission` runs this with the target branch's own code and entries. Of the pull request it has its folder
of entries, and what git says of how that differs from the target branch.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from rich.console import Console
from rich.text import Text

from bench.core.errors import BenchError
from leaderboard.entries.maintained import Trust
from leaderboard.entries.reader import BadEntry
from leaderboard.entries.strict_json import SLUG, clip
from leaderboard.review.comparison import against
from leaderboard.review.validate import validate_all

FOLDER = "results"


class Change(NamedTuple):
    """A file below `results/` that a pull request changes, and how: git's letter (A added, M modified, D deleted)."""

    how: str
    path: str

    @property
    def name(self) -> str:
        """What it belongs to: the folder or file directly in `results/`."""
        return self.path.split("/")[1] if "/" in self.path else ""

    @property
    def entry(self) -> str:
        """The id of the entry that it belongs to, or nothing."""
        inside, zipped = self.path.count("/") > 1, self.name.endswith(".zip")
        named = self.name if inside else self.name.removesuffix(".zip")
        return named if (inside or zipped) and re.search(SLUG, named) else ""


def changes(listing: bytes) -> list[Change]:
    """What `git diff --name-status --no-renames -z` printed, of `results/`.

    Raises:
        BenchError: it is something else.
    """
    words = listing.decode(errors="backslashreplace").split("\0")
    pairs = list(zip(words[:-1:2], words[1::2], strict=False))
    if words.pop() or len(words) % 2 or any(not re.fullmatch("[A-Z]", how) for how, _ in pairs):
        raise BenchError("The list of changes is not git's.", "Make it with git diff --name-status --no-renames -z.")
    return [Change(how, path) for how, path in pairs if path == FOLDER or path.startswith(f"{FOLDER}/")]


def refusals(found: Sequence[Change], base: Path) -> Iterator[str]:
    """Why changes need a maintainer, of each folder or file once.

    Args:
        found: the changes.
        base: the target branch's folder of entries.
    """
    there = {path.name.lower().removesuffix(".zip") for path in base.iterdir()}
    names = {change.entry: {other.name for other in found if other.entry == change.entry} for change in found}
    for change in {change.name: change for change in sorted(found)}.values():
        if not change.entry:
            yield f"{change.path} is part of no entry: only maintainers change it."
        elif change.entry in there:
            yield f"{change.name} is an entry already: nobody else edits, replaces or deletes it. Choose another id."
        elif change.how != "A":
            yield f"{change.path} is changed in a way that adds nothing ({change.how})."
        elif len(names[change.entry]) > 1:
            yield f"{change.entry} is there as a folder and as a zip. Keep one."


def admit(
    proposal: Path, base: Path, found: Sequence[Change], maintainer: bool, summary: Path | None, console: Console
) -> int:
    """Check what a pull request does; the exit status is 1 if it must not be merged.

    Args:
        proposal: the pull request's folder of entries.
        base: the target branch's.
        found: what it changes.
        maintainer: whether a maintainer has said that entries that are there, and the maintainers' files, may change.
        summary: file to which the new entries are added beside the controls and the trusted rows, as Markdown.
        console: where it prints.
    """
    refused = [] if maintainer else list(refusals(found, base))
    for said in refused:
        console.print(Text(f"problem: {clip(said)}"), soft_wrap=True)
    if refused or not found:
        console.print("Nothing was validated." if refused else f"Nothing in {FOLDER}/ changes.")
        return 1 if refused else 0
    try:
        Trust.of(proposal)
    except BadEntry as error:
        console.print(Text(f"problem: {error}"), soft_wrap=True)
        return 1
    entries = [proposal / name for name in sorted({change.name for change in found if change.entry})]
    entries = [path for path in entries if path.exists() or path.is_symlink()]
    if not entries:
        console.print(f"{FOLDER}/ changes, and no entry of it could be validated.")
        return 0 if maintainer else 1
    status = validate_all(entries, console)
    if status == 0 and summary is not None:
        with summary.open("a") as file:
            file.writelines(f"{against(proposal, path.name.removesuffix('.zip'))}\n" for path in entries)
    return status
