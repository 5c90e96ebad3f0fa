"""Packing a run as an entry: its records, what it is, and pictures of people who do not exist.

The entry is written elsewhere and validated there like anybody's, and only then put into its place: one that is refused
leaves nothing behind.
"""

from __future__ import annotations

import datetime
import gzip
import re
import shutil
import tempfile
import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from bench.core.errors import BenchError, unknown_name
from bench.core.hashing import sha256_file
from bench.results.record import Record
from bench.stats.rule import CONTROLS
from leaderboard.entries.archive import ENTRY
from leaderboard.entries.entry import RECORDS, Entry, MethodCard
from leaderboard.entries.maintained import MAINTAINED
from leaderboard.entries.reader import open_result
from leaderboard.entries.run_folder import Album, load_run, open_store
from leaderboard.entries.strict_json import BadEntry, explain
from leaderboard.review.validate import counted, tell, validate
from leaderboard.submission.method_cards import cards
from leaderboard.submission.private_facts import refuse_private
from leaderboard.submission.unfinished import publishable
from leaderboard.submission.write_sprites import write_sprites

LICENCE = "CC-BY-4.0"


@dataclass(frozen=True)
class Wishes:
    """How to pack a run.

    Attributes:
        run: the run's folder.
        results: where the entry's folder goes.
        facts: fields of `Entry` that the submitter states; the others have defaults.
        plugins: files or modules with the run's methods, for their cards.
        store: the run's store, if pictures are to be packed; else None.
        replace: whether another entry of the same id may be replaced.
        own_names: whether real people may be called by their names.
    """

    run: Path
    results: Path
    facts: Mapping[str, Any]
    plugins: Sequence[str] = ()
    store: Path | None = None
    replace: bool = False
    own_names: bool = False


def submit(wishes: Wishes, console: Console) -> int:
    """Pack a run.

    Returns:
        The exit status: 0 if the entry is in its place, 1 if it has problems; then nothing is written.

    Raises:
        BenchError: the run cannot be read, a fact is not allowed, pictures may not be shown, or the place is taken.
    """
    records, unfinished = publishable(wishes.run, load_run(wishes.run))
    card, unknown = cards(records, wishes.plugins)
    stated = _stated({**_defaults(wishes, records, card), **wishes.facts, "card": card})
    refuse_private(records, stated, wishes.own_names)
    _check_place(wishes.results, stated)
    with tempfile.TemporaryDirectory(prefix="cloakbench-submit-") as scratch:
        folder = Path(scratch) / stated.id
        folder.mkdir()
        files, without = _write(folder, records, wishes.store)
        entry = stated.model_copy(update={"files": files})
        (folder / ENTRY).write_text(entry.model_dump_json(indent=1) + "\n")
        found = validate(folder)
        found.warnings += [f"{name} has no card: give --plugins with the file that defines it." for name in unknown]
        if unfinished:
            found.warnings.append(unfinished)
        if without:
            found.warnings.append(f"{without} cells have no pictures, since the store no longer has them.")
        tell(found, console)
        if found.problems:
            console.print("Nothing was written. Mend the problems and submit again.")
            return 1
        moved = _place(folder, wishes.results / entry.id, entry, wishes.replace)
    _conclude(entry, wishes.results, f"{'Packed' if moved else 'Packed already:'} {counted(found)}", console)
    return 0


def _write(folder: Path, records: Sequence[Record], store: Path | None) -> tuple[dict[str, str], int]:
    """Write records and pictures; the manifest, and how many cells have no pictures though some were wanted."""
    with (folder / RECORDS).open("wb") as raw, gzip.GzipFile("", "wb", fileobj=raw, mtime=0) as packed:
        for record in sorted(records, key=lambda r: r.cell):
            packed.write(record.model_dump_json().encode() + b"\n")
    without = 0 if store is None else write_sprites(folder, records, Album(open_store(store), records))
    files = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): sha256_file(path) for path in files}, without


def _stated(facts: Mapping[str, Any]) -> Entry:
    """The entry but for its files, so that what is wrong with it is told before anything is packed."""
    try:
        return Entry.model_validate({**facts, "files": {RECORDS: "0" * 64}})
    except ValidationError as error:
        bad = explain(error, ENTRY)
        if bad.problem.field == "id":
            raise BenchError(str(bad), f"For instance: --id {_slug(str(facts['id']))}") from None
        raise bad from None


def _slug(name: str) -> str:
    """An id made of a name: its letters in lower case and without accents, its digits, and hyphens."""
    plain = unicodedata.normalize("NFKD", name.casefold()).encode("ascii", "ignore").decode()
    return re.sub("[^a-z0-9]+", "-", plain).strip("-")[:60].strip("-") or "run"


def _defaults(wishes: Wishes, records: Sequence[Record], card: Mapping[str, MethodCard]) -> dict[str, Any]:
    """What an entry says of itself if nobody says better."""
    own = sorted({r.defense.name for r in records} - set(CONTROLS))
    attacks = sorted({r.attack.name for r in records} - {"none"})
    bases = sorted({r.base for r in records})
    title = " ".join([", ".join(own) or "controls", "against", ", ".join(attacks), "on", ", ".join(bases)])
    papers = {card[name].paper for name in own if name in card}
    arxiv = re.search(r"arXiv (\d{4}\.\d{4,5})$", papers.pop()) if len(papers) == 1 else None
    return {
        "id": _slug(wishes.run.resolve().name),
        "kind": "break" if wishes.facts.get("amends") else "defense",
        "title": title[:150],
        "paper": f"https://arxiv.org/abs/{arxiv[1]}" if arxiv else "",
        "licence": LICENCE,
        "submitted": datetime.date.today(),
        "protocol": str(min(r.protocol for r in records)),
    }


def _check_place(results: Path, entry: Entry) -> None:
    """Raises BenchError if no entry can be put there, or this one is about another that is not there."""
    if results.exists() and not results.is_dir():
        raise BenchError(f"{results} is a file.", "Give a folder of entries with --out.")
    entries = list(results.iterdir()) if results.is_dir() else []
    zips = {path.stem: path for path in entries if path.suffix.lower() == ".zip"}
    if entry.id in zips:
        raise BenchError(f"{zips[entry.id]} is there already.", "Remove it, or choose another --id.")
    known = zips.keys() | {path.name for path in entries if (path / ENTRY).is_file()}
    if entry.amends is not None and entry.amends not in known:
        raise unknown_name("entry", entry.amends, known)


def _place(folder: Path, target: Path, entry: Entry, replace: bool) -> bool:
    """Copy an entry to its place, all of it or nothing; False if it is there already.

    Raises:
        BenchError: another one is there, and may not be replaced.
    """
    if target.exists():
        if _same(target, entry):
            return False
        if not replace:
            raise BenchError(
                f"{target} is another entry already.", "Replace it with --replace, or choose another --id."
            )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".submit-", dir=target.parent) as beside:
        shutil.copytree(folder, Path(beside) / "new")
        if target.exists():
            target.rename(Path(beside) / "old")
        (Path(beside) / "new").rename(target)
    return True


def _same(target: Path, entry: Entry) -> bool:
    """Whether an entry says the same, whenever it was submitted."""
    try:
        old = open_result(target).entry
    except BadEntry:
        return False
    return old.model_copy(update={"submitted": entry.submitted}) == entry


def _conclude(entry: Entry, results: Path, what: str, console: Console) -> None:
    place = results / entry.id
    authors = ", ".join(entry.authors) or "nobody named (--authors)"
    listed = [f"  a maintainer lists {entry.id} in {results / MAINTAINED}; until then it is no {entry.kind}"]
    for line in (
        f"{what} as {place}: {entry.title}",
        f"Kind {entry.kind}, by {authors}, licence {entry.licence}. Change it by --kind, --licence, ... and --replace.",
        "Next:",
        *(listed if entry.kind in ("reference", "correction") else ()),
        f"  python -m leaderboard build {results} -o site     then open site/index.html#entry={entry.id}",
        f"  git checkout -b {entry.id} && git add {place} && git commit -m 'Submit {entry.id}'",
        "  then push, and open a pull request with that folder alone. It is validated there, and a maintainer may",
        "  run it again (python -m leaderboard verify); until then the board marks it as self-reported.",
    ):
        console.print(Text(line), soft_wrap=True)
