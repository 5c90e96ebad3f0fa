"""The folder of results: one entry per sub-folder or zip, read without trusting any of them.

    results/<id>/ or results/<id>.zip    entry.json, records.jsonl.gz, and perhaps images.json and images/<cell>.webp
    results/verified.json                which entries a maintainer has run again
    results/maintained.json              which entries are the maintainers' own, and which corrections they agree to

Beside them may stand a README, what operating systems leave behind, and a site that was built there. One bad entry is a
`Problem`, and never hides the others. What may be in a file is checked when it is read: opening an
entry checks everything but the records, and `Result.records` checks those line by line.
"""

from __future__ import annotations

import datetime
import gzip
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.litter import is_litter
from bench.results.record import Record
from leaderboard.entries.archive import ENTRY, MB, Pack, open_pack
from leaderboard.entries.entry import IMAGES, RECORDS, Entry
from leaderboard.entries.extent import Extent
from leaderboard.entries.maintained import MAINTAINED, Trust
from leaderboard.entries.sprites import Sprite, Sprites, file_name
from leaderboard.entries.strict_json import BadEntry, Problem, not_understood, parse
from leaderboard.entries.verifications import VERIFIED, Verification

__all__ = ["BadEntry", "Problem", "Result", "open_all", "open_result"]

RECORDS_LIMIT = 512 * MB
"""Bytes of an entry's records when decompressed."""
RECORDS_FREE, RECORDS_RATIO = 4 * MB, 50
"""Of a small file, no more than so many, and so many times its size: hashes of pictures cannot be packed smaller."""
LINE_LIMIT = 2 * MB
TEXTS = {"readme", "license", "licence"}
"""Files that are no entries, in lower case and without suffix."""
START = datetime.date(2026, 11, 24)
"""When the project began: nothing was submitted before."""
MARK = "made-by-cloakbench"
"""A file in every site: only a folder that has it, or an empty one, is ever replaced."""


@dataclass(frozen=True)
class Result:
    """One entry whose files are whole.

    Attributes:
        entry: what `entry.json` says.
        maintained: whether the maintainers list it as what it says it is: a reference, or a correction.
        verification: a maintainer's, of exactly these files; else None.
        pack: the files.
        pictures: every sprite in it, whether it may be shown or not; for showing, use `sprites`.
    """

    entry: Entry
    maintained: bool
    verification: Verification | None
    pack: Pack = field(repr=False)
    pictures: Mapping[str, Sprite] = field(repr=False)

    @property
    def trusted(self) -> bool:
        """Whether the maintainers ran all of it, first or again."""
        return (self.entry.kind == "reference" and self.maintained) or bool(
            self.verification and self.verification.whole
        )

    def vouched(self, cell: str) -> bool:
        """Whether the maintainers ran a cell of it, first or again."""
        return self.trusted or bool(self.verification and self.verification.covers(cell))

    def records(self) -> Iterator[Record]:
        """All records, in the order of their cells; never more than one in memory.

        Raises:
            BadEntry: a line is no valid record, a cell is there twice, or there is too much of anything.
        """
        previous, extent = "", Extent()
        for number, line in enumerate(self._lines(), start=1):
            file = f"{self.pack.file}/{RECORDS}:{number}"
            record = parse(Record, line, file)
            if not re.fullmatch("[0-9a-f]{64}", record.cell):
                raise BadEntry(file, "cell", f"{record.cell!r} is no hash. Take it as the run wrote it.")
            if record.cell == previous:
                raise BadEntry(file, "cell", f"{record.cell} is there twice. Keep one of the records.")
            if record.cell < previous:
                raise BadEntry(file, "cell", "out of order. Sort the records by cell; leaderboard submit does.")
            previous = record.cell
            extent.add(record, file)
            if len({frozenset(image.similarities) for image in record.images}) > 1:
                raise BadEntry(file, "images", "are not all judged by the same. Take the record as the run wrote it.")
            yield record

    def _lines(self) -> Iterator[bytes]:
        total, most = 0, min(RECORDS_LIMIT, RECORDS_FREE + RECORDS_RATIO * self.pack.sizes[RECORDS])
        with self.pack.open(RECORDS) as packed, gzip.open(packed) as stream:
            while line := stream.readline(LINE_LIMIT + 1):
                total += len(line)
                if len(line) > LINE_LIMIT or total > most:
                    limits = f"a line may have {LINE_LIMIT} bytes, and all of them {most}"
                    raise self.pack.bad(RECORDS, f"too large: {limits}. Split the entry.")
                yield line.rstrip(b"\n")

    def sprites(self) -> dict[str, Sprite]:
        """Cell -> its sprite, of those that may be shown.

        Whether a picture shows an invented person can only be checked where it was made. So it takes somebody's word,
        and the only words taken are the maintainers': of cells that they did not run, no picture is shown.
        """
        return {cell: sprite for cell, sprite in self.pictures.items() if self.vouched(cell)}

    def sprite_bytes(self, cell: str) -> bytes:
        """The WebP file of one of the `sprites`.

        Raises:
            KeyError: the cell has none, or it may not be shown.
            BadEntry: the file is damaged.
        """
        return self.pack.read(self.sprites()[cell].file)


def open_all(root: Path) -> tuple[list[Result], list[Problem]]:
    """Every entry of a folder that can be used, by name, and what is wrong with the others.

    Raises:
        BenchError: there is no such folder.
    """
    paths = entries_of(root)
    problems: list[Problem] = []
    trust = Trust.nobody()
    try:
        trust = Trust.of(root)
    except BadEntry as error:
        problems.append(error.problem)
    found: dict[str, Result] = {}
    for path in paths:
        try:
            result = open_result(path, trust)
            if result.entry.id in found:
                raise _bad(result, "id", f"{result.entry.id!r} is there twice, as folder and as zip. Keep one.")
            found[result.entry.id] = result
        except BadEntry as error:
            problems.append(error.problem)
        except Exception as error:  # whatever it is: one entry hides no other
            problems.append(not_understood(path.name, error))
    while lost := [r for r in found.values() if r.entry.amends is not None and r.entry.amends not in found]:
        for result in lost:  # again and again: an entry that is left out may be what another one is about
            there = "is not here, or has a problem itself. Give the id of an entry that is here."
            problems.append(_bad(result, "amends", f"the entry {result.entry.amends!r} {there}").problem)
            del found[result.entry.id]
    return list(found.values()), problems


def entries_of(root: Path) -> list[Path]:
    """Everything in a folder that is an entry, or means to be one, by name.

    Raises:
        BenchError: there is no such folder.
    """
    if not root.is_dir():
        raise BenchError(
            f"There is no folder {root}.", "Give the folder whose sub-folders are entries, such as results/."
        )
    return [path for path in sorted(root.iterdir()) if not _beside(path)]


def _beside(path: Path) -> bool:
    """Whether something in the folder is no entry and means to be none."""
    if path.name in (VERIFIED, MAINTAINED) or path.name.startswith(".") or is_litter(path.name):
        return True
    return (path.stem.lower() in TEXTS and path.is_file()) or (path / MARK).is_file()


def open_result(path: Path, trust: Trust | None = None) -> Result:
    """One entry, with everything checked but its records.

    Args:
        path: its folder or zip.
        trust: what the maintainers say of the entries beside it; None where nobody asks whether it is a reference.

    Raises:
        BadEntry: anything is wrong with it.
    """
    pack = open_pack(path)
    entry = parse(Entry, pack.read(ENTRY), f"{pack.file}/{ENTRY}")
    if pack.name != entry.id:
        raise BadEntry(
            f"{pack.file}/{ENTRY}", "id", f"is {entry.id!r}, but the file is {pack.file!r}. Make them equal."
        )
    listed = trust is not None and trust.maintained.lists(entry)
    _check_claims(f"{pack.file}/{ENTRY}", entry, asked=trust is not None, listed=listed)
    _check_manifest(pack, entry)
    pictures = parse(Sprites, pack.read(IMAGES), f"{pack.file}/{IMAGES}").root if IMAGES in pack.sizes else {}
    for cell, sprite in pictures.items():
        if sprite.file != file_name(cell) or sprite.file not in pack.sizes:
            raise BadEntry(
                f"{pack.file}/{IMAGES}", f"{cell}.file", f"is not {file_name(cell)}, or not there. Pack again."
            )
    for name in pack.sizes.keys() - {ENTRY, IMAGES, RECORDS} - {sprite.file for sprite in pictures.values()}:
        raise pack.bad(name, f"this picture is not in {IMAGES}. Pack the entry again.")
    verification = trust.verified.get(entry.id) if trust else None
    holds = verification is not None and verification.holds_for(entry)
    return Result(entry, listed, verification if holds else None, pack, pictures)


def _check_claims(file: str, entry: Entry, asked: bool, listed: bool) -> None:
    """Raises BadEntry for a reference that the maintainers do not list, and for a date on which nobody submitted."""
    if listed:
        return
    if asked and entry.kind == "reference":
        said = f"is reference, and {MAINTAINED} does not list {entry.id!r}: references are the maintainers' own."
        raise BadEntry(file, "kind", f"{said} Submit it with --kind defense.")
    latest = max(datetime.date.today(), START) + datetime.timedelta(days=1)  # it may be tomorrow elsewhere
    if not START <= entry.submitted <= latest:
        said = f"is {entry.submitted}, and must lie between {START}, when the project began, and today"
        raise BadEntry(file, "submitted", f"{said}. Give the day on which it was submitted.")


def _check_manifest(pack: Pack, entry: Entry) -> None:
    """Raises BadEntry unless the files are exactly those that the entry names."""
    for name in sorted(pack.sizes.keys() - {ENTRY} | entry.files.keys()):
        if name not in entry.files:
            raise BadEntry(f"{pack.file}/{ENTRY}", f"files.{name}", "is not listed. Pack the entry again.")
        if pack.sha256(name) != entry.files[name]:
            raise pack.bad(name, f"is not the file that {ENTRY} lists: its hash differs. Pack the entry again.")


def _bad(result: Result, field: str, message: str) -> BadEntry:
    return BadEntry(f"{result.pack.file}/{ENTRY}", field, message)
