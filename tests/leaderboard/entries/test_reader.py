"""Entries of strangers: good ones are read back equal, and whatever is wrong with others is one problem and no more."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import struct
import zipfile
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from rich.console import Console

from bench.core.errors import BenchError
from bench.results.record import Record
from leaderboard.entries import archive, reader
from leaderboard.entries.entry import SCHEMA_FILE, schema
from leaderboard.entries.reader import MARK, BadEntry, Problem, Result, open_all, open_result
from leaderboard.entries.sprites import Sprite, Sprites, draw
from leaderboard.entries.verifications import files_sha256
from leaderboard.review.entry_checks import Findings
from leaderboard.review.validate import tell, validate
from tests.support.entries import grid, lines, made, manifest, tree, write_entry, zipped

CELL = made().cell


def opened(root: Path) -> list[Result]:
    """All entries of a folder that has no problem."""
    found, problems = open_all(root)
    assert problems == []
    return found


def problem(path: Path) -> Problem:
    """The one problem of an entry."""
    found = validate(path).problems
    assert len(found) == 1, found
    return found[0]


def pictures() -> dict[str, bytes]:
    """Files of an entry with one sprite."""
    sprite, data = draw(
        CELL, {"clean": [np.full((8, 8, 3), 90, np.uint8)], "generated": [np.zeros((8, 8, 3), np.uint8)]}
    )
    return {"images.json": Sprites({CELL: sprite}).model_dump_json().encode(), sprite.file: data}


# --- what is good ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("as_zip", [False, True])
def test_entry_is_read_back_as_it_was_written(tmp_path: Path, as_zip: bool) -> None:
    folder = write_entry(
        tmp_path, authors=["Ada"], card={"aspl": {"description": "x", "paper": "y"}}, others=pictures()
    )
    if as_zip:
        zipped(folder)
    (result,) = opened(tmp_path)
    assert list(result.records()) == sorted(grid(), key=lambda r: r.cell)
    assert list(result.records()) == list(result.records()), "and again"
    assert (result.entry.id, result.entry.authors, result.entry.card["aspl"].paper) == ("mine", ("Ada",), "y")
    assert result.entry.submitted.isoformat() == "2026-11-24"
    assert result.verification is None
    assert result.pictures[CELL].groups == {"clean": (0, 1), "generated": (1, 1)}


def test_what_stands_beside_entries_is_left_alone(tmp_path: Path) -> None:
    write_entry(tmp_path)
    (tmp_path / "README.md").write_text("How to submit")
    (tmp_path / ".gitkeep").touch()
    assert len(opened(tmp_path)) == 1
    (tmp_path / "notes.txt").touch()
    _, problems = open_all(tmp_path)
    assert [p.file for p in problems] == ["notes.txt"]


LITTER = (
    ".DS_Store",
    "._entry.json",
    "Thumbs.db",
    "desktop.ini",
    "__MACOSX/._entry.json",
    "@eaDir/x",
    "images/.DS_Store",
)


def test_what_systems_leave_behind_is_passed_over(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, others=pictures())
    for place in (tmp_path, folder):
        for name in LITTER[: -1 if place == tmp_path else None]:
            (place / name).parent.mkdir(exist_ok=True)
            (place / name).write_bytes(b"\0\1")
    (tmp_path / "README").write_text("How to submit")
    (tmp_path / "LICENSE.txt").touch()
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / MARK).touch()
    assert validate(folder).problems == []
    assert len(opened(tmp_path)) == 1
    (tmp_path / "empty").mkdir()
    (tmp_path / "readme-first").mkdir()
    found, problems = open_all(tmp_path)
    assert len(found) == 1
    assert [p.file for p in problems] == ["empty/entry.json", "readme-first/entry.json"]


@pytest.mark.parametrize("name", [".", "../mine"])
def test_an_entry_is_named_by_its_folder_however_it_is_reached(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(write_entry(tmp_path))
    assert validate(Path(name)).problems == []


def test_folder_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="no folder"):
        open_all(tmp_path / "nowhere")


def test_committed_schema_is_the_current_one() -> None:
    assert SCHEMA_FILE.read_text() == schema(), (
        "run python -m leaderboard.entries.entry, and think about SCHEMA_VERSION"
    )
    parsed = json.loads(schema())
    assert all(part["additionalProperties"] is False for part in [parsed, *parsed["$defs"].values()])


# --- entry.json -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("facts", "field", "said"),
    [
        ({"schema_version": 2, "colour": "red"}, "schema_version", "upgrade"),
        ({"schema_version": "1"}, "schema_version", "Input should be 1"),
        ({"title": ...}, "title", "missing. Add it"),
        ({"colour": "red"}, "colour", "no such field"),
        ({"title": 5}, "title", "not 5"),
        ({"title": ""}, "title", "at least 1"),
        ({"title": "x" * 151}, "title", "at most 150"),
        ({"kind": "best"}, "kind", "'reference', 'defense', 'break' or 'correction'"),
        ({"id": "../mine"}, "id", "lower-case letters"),
        ({"id": "mine\n"}, "id", "lower-case letters"),
        ({"id": "Mine"}, "id", "lower-case letters"),
        ({"id": "other"}, "id", "'other', but the file is 'mine'"),
        ({"paper": "javascript:alert(1)"}, "paper", "http://"),
        ({"code": 'https://x.org/"onclick="'}, "code", "http://"),
        ({"code": "https://x.org/a b"}, "code", "no spaces"),
        ({"code": "https://github.com@x.org/"}, "code", "no name or password"),
        ({"code": "https://ada:secret@x.org/"}, "code", "no name or password"),
        ({"paper": "https://\u0430rxiv.org/abs/1"}, "paper", "no letters but a to z"),  # a Cyrillic a
        ({"submitted": 0}, "submitted", "date"),
        ({"submitted": "yesterday"}, "submitted", "date"),
        ({"authors": "Ada"}, "authors", "not 'Ada'"),
        ({"authors": ["Ada", ""]}, "authors.1", "at least 1"),
        ({"protocol": "one"}, "protocol", "a version"),
        ({"protocol": 1}, "protocol", "string"),
        ({"kind": "break"}, "amends", "give that entry's id"),
        ({"kind": "correction", "amends": None}, "amends", "give that entry's id"),
        ({"kind": "defense", "amends": "theirs"}, "amends", "about no other"),
        ({"kind": "break", "amends": "mine"}, "amends", "about itself"),
        ({"files": {}}, "files", "records.jsonl.gz is missing"),
        ({"files": {"records.jsonl.gz": "z" * 64}}, "files.records.jsonl.gz", "hexadecimal"),
        ({"files": {"../../etc/passwd": "a" * 64}}, "files.../../etc/passwd.[key]", "pattern"),
        ({"card": {"x": {"description": "y", "html": "z"}}}, "card.x.html", "no such field"),
        ({"card": {"x": "<script>"}}, "card.x", "object"),
    ],
)
def test_field_that_is_wrong_is_named(tmp_path: Path, facts: dict[str, Any], field: str, said: str) -> None:
    found = problem(write_entry(tmp_path, **facts))
    assert (found.file, found.field) == ("mine/entry.json", field)
    assert said in found.message
    assert open_all(tmp_path)[0] == []


@pytest.mark.parametrize(
    ("text", "field", "said"),
    [
        ("", "(whole file)", "not JSON"),
        ("[]", "(whole file)", "object"),
        ("{", "(whole file)", "not JSON"),
        ('{"id": "mine", "id": "mine", REST}', "id", "given twice"),
        ('{"id": "mine", "card": {"x": {"paper": "a", "paper": "b"}}, REST}', "paper", "given twice"),
        ("\xff", "(whole file)", "not JSON"),
        ("[" * 100_000, "(whole file)", "not JSON"),
        ('{"title": "\\ud800"}', "(whole file)", "not JSON"),
        ('{"seed": ' + "9" * 5000 + "}", "(whole file)", "not JSON"),
    ],
    ids=["empty", "list", "cut", "twice", "twice inside", "no text", "deep", "half a character", "long number"],
)
def test_json_that_is_wrong_is_named(tmp_path: Path, text: str, field: str, said: str) -> None:
    folder = write_entry(tmp_path)
    file = folder / "entry.json"
    rest = {k: v for k, v in json.loads(file.read_text()).items() if k not in ("id", "card")}
    file.write_bytes(text.replace("REST", json.dumps(rest)[1:-1]).encode("latin-1"))
    found = problem(folder)
    assert (found.file, found.field) == ("mine/entry.json", field)
    assert said in found.message


UNSEEN = [
    "\u202e",
    "\u2066",
    "\u200b",
    "\u00ad",
    "\ufeff",
    "\u0085",
    "\x7f",
    "\x1b",
    "\0",
    "\u2028",
    "\U000e0041",
    "\t",
    "\r",
]


@pytest.mark.parametrize("c", UNSEEN)
@pytest.mark.parametrize("escaped", [True, False])
def test_no_text_of_an_entry_has_characters_that_nobody_sees(tmp_path: Path, c: str, escaped: bool) -> None:
    texts: dict[str, Any] = {
        "title": f"x{c}y",
        "description": f"x{c}y",
        "authors": ["Eve", f"A{c}da"],
        "card": {f"asp{c}l": {"description": "x"}},
    }
    for field, value in texts.items():
        folder = write_entry(tmp_path, f"of-{field}", **{field: value})
        file = folder / "entry.json"
        file.write_text(json.dumps(json.loads(file.read_text()), ensure_ascii=escaped), encoding="utf-8")
        found = problem(folder)
        if escaped or c > " ":  # JSON itself takes the others only if they are escaped
            assert (found.field.partition(".")[0], "nobody sees" in found.message) == (field, True), found
            assert f"U+{ord(c):04X}" in found.message
    config = made(attack="lora", data_config={f"no{c}te": "x"})
    for number, record in enumerate([made(f"a{c}da"), made(base=f"x{c}"), made(reason=f"{c}"), config]):
        found = problem(write_entry(tmp_path, f"record-{number}", [record]))
        assert "nobody sees" in found.message, found


def test_only_where_somebody_writes_at_length_are_lines(tmp_path: Path) -> None:
    failed = made("p03", "aspl", 8, status="fit_failed", reason="No face.\nUse another photo.")
    folder = write_entry(
        tmp_path, records=[*grid(), failed], description="One.\n\nTwo.", command="python \\\n -m bench"
    )
    assert validate(folder).problems == []
    assert problem(write_entry(tmp_path, "two", title="One\nTwo")).field == "title"
    assert problem(write_entry(tmp_path, "three", [made("p\n01")])).field == "identity"


def test_no_text_of_an_entry_has_somebody_s_password(tmp_path: Path) -> None:
    command = "pip install git+https://ada:secret@example.org/x"
    assert problem(write_entry(tmp_path, command=command)).field == "command"
    assert problem(write_entry(tmp_path, "two", [made(reason="see ftp://ada@x.org/")])).field == "reason"
    assert validate(write_entry(tmp_path, "three", authors=["ada@example.org"])).problems == []


def test_ten_megabytes_are_not_read_and_not_repeated(tmp_path: Path) -> None:
    assert "1048576 are allowed" in problem(write_entry(tmp_path, "long", description="x" * 10_000_000)).message
    for facts in ({"title": "x" * 900_000}, {"y" * 900_000: 1}, {"\x1b[2J\n" * 10_000: 1}):
        found = problem(write_entry(tmp_path, f"long-{len(facts)}-{next(iter(facts))[:2]}", **facts))
        assert len(str(found)) < 1000
        assert str(found).isprintable(), "one line, and nothing that a terminal obeys"


# --- records --------------------------------------------------------------------------------------------------------

GOOD = made().model_dump_json()


@pytest.mark.parametrize(
    ("old", "new", "field", "said"),
    [
        ('"ilr":0.5', '"ilr":"0.5"', "metrics.ilr", "valid number"),
        ('"ilr":0.5', '"ilr":NaN', "metrics.ilr", "not numbers of JSON"),
        ('"ilr":0.5', '"ilr":1e999', "metrics.ilr", "not numbers of JSON"),
        ('"dirty":false', '"load":NaN', "provenance.git.load", "not numbers of JSON"),
        ('"dirty":false', '"load":[0,{"x":-Infinity}]', "provenance.git.load.1.x", "not numbers of JSON"),
        ('"name":"lora","config":{}', '"name":"lora","config":{"rate":1e400}', "attack.config.rate", "not numbers"),
        ('"dirty":false', '"dirty":false,"dirty":true', "dirty", "given twice"),
        ('"seed":0', '"seed":0,"seed":1', "seed", "given twice"),
        ('"seed":0', '"seed" :0, "seed" :0', "seed", "given twice"),
        ('"seed":0', '"seed":"0"', "seed", "integer"),
        ('"seed":0', '"seed":0,"speed":1', "speed", "no such field"),
        ('"base":"facelet-1",', "", "base", "missing"),
        ('"status":"ok"', '"status":"fine"', "status", "'ok'"),
        ('"schema_version":1', '"schema_version":2,"new":1', "schema_version", "upgrade"),
        (CELL, "../" + CELL, "cell", "no hash"),
        (CELL, CELL.upper(), "cell", "no hash"),
    ],
)
def test_record_that_is_wrong_is_named_with_its_line(tmp_path: Path, old: str, new: str, field: str, said: str) -> None:
    assert old in GOOD
    first = made(identity="first").model_copy(update={"cell": "0" * 64}).model_dump_json()
    folder = write_entry(tmp_path, records=f"{first}\n{GOOD.replace(old, new)}\n".encode())
    found = problem(folder)
    assert (found.file, found.field) == ("mine/records.jsonl.gz:2", field)
    assert said in found.message
    records = opened(tmp_path)[0].records()
    assert next(records).identity == "first", "what comes before is good"
    with pytest.raises(BadEntry):
        next(records)


def test_spaces_and_order_of_keys_are_free(tmp_path: Path) -> None:
    spaced = json.dumps(dict(reversed(json.loads(GOOD).items())), indent=None).encode()
    write_entry(tmp_path, records=spaced)
    assert list(opened(tmp_path)[0].records()) == [made()]


@pytest.mark.parametrize(("cells", "said"), [("aab", "there twice"), ("ba", "out of order")])
def test_cells_must_be_sorted_and_different(tmp_path: Path, cells: str, said: str) -> None:
    text = "\n".join(made().model_copy(update={"cell": c * 64}).model_dump_json() for c in cells)
    found = problem(write_entry(tmp_path, records=text.encode()))
    assert (found.file, found.field) == ("mine/records.jsonl.gz:2", "cell")
    assert said in found.message


def test_too_much_is_noticed_while_reading(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    long = made(reason="x" * 2_200_000).model_dump_json().encode()
    assert "a line may have" in problem(write_entry(tmp_path, "line", long)).message
    monkeypatch.setattr(reader, "RECORDS_LIMIT", len(lines(grid())) - 1)
    assert "too large" in problem(write_entry(tmp_path, "all")).message
    monkeypatch.setattr(reader, "RECORDS_LIMIT", len(lines(grid())))
    assert validate(write_entry(tmp_path, "just")).problems == []


@pytest.mark.parametrize(
    "data",
    [b"", b"not gzip", gzip.compress(lines(grid()))[:-20], gzip.compress(b"x")[:-8] + b"y" * 8],
    ids=[
        "empty",
        "not gzip",
        "cut off",
        "wrong checksum",
    ],  # gzip writes the time: two workers would name them otherwise
)
def test_damaged_records_are_a_problem(tmp_path: Path, data: bytes) -> None:
    folder = write_entry(tmp_path)
    (folder / "records.jsonl.gz").write_bytes(data)
    rewrite(folder)
    assert problem(folder).file == "mine/records.jsonl.gz"


# --- files ----------------------------------------------------------------------------------------------------------


def rewrite(folder: Path) -> None:
    """Make the manifest true again."""
    entry = json.loads((folder / "entry.json").read_text()) | {"files": manifest(folder)}
    (folder / "entry.json").write_text(json.dumps(entry))


def test_file_that_was_changed_is_noticed(tmp_path: Path) -> None:
    folder = write_entry(tmp_path)
    (folder / "records.jsonl.gz").write_bytes(gzip.compress(lines(grid(leaks=0)), mtime=0))
    found = problem(folder)
    assert found.file == "mine/records.jsonl.gz"
    assert "hash differs" in found.message


def test_every_file_is_listed_and_there(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, others=pictures())
    (folder / "images.json").unlink()
    assert problem(folder).file == "mine/images.json"
    rewrite(folder)
    assert "not in images.json" in problem(folder).message
    listed = write_entry(tmp_path, "unlisted")
    (listed / "images.json").write_text("{}")
    assert (problem(listed).field, problem(listed).message[:13]) == ("files.images.json", "is not listed")


@pytest.mark.parametrize(
    "name", ["run.sh", "images/x.webp", "images/photo.png", ".git", "entry.json.bak", "images/a/b"]
)
def test_unknown_file_is_named(tmp_path: Path, name: str) -> None:
    folder = write_entry(tmp_path)
    (folder / name).parent.mkdir(parents=True, exist_ok=True)
    (folder / name).touch()
    assert problem(folder).file == f"mine/{name}".removesuffix("/b")
    assert open_all(tmp_path)[0] == []


def test_links_are_not_followed(tmp_path: Path) -> None:
    whole = write_entry(tmp_path / "elsewhere", others=pictures())
    root = tmp_path / "results"
    root.mkdir()
    (root / "mine").symlink_to(whole, target_is_directory=True)
    assert "is a link" in problem(root / "mine").message
    for name in ("records.jsonl.gz", "images"):
        folder = write_entry(root, f"with-{name[:6]}", others=pictures())
        (folder / name).rename(tmp_path / name)
        (folder / name).symlink_to(tmp_path / name)
        assert "is a link" in problem(folder).message
    zipped(whole).rename(tmp_path / "mine.zip")
    (root / "mine.zip").symlink_to(tmp_path / "mine.zip")
    assert "is a link" in problem(root / "mine.zip").message


def test_pipe_is_not_opened(tmp_path: Path) -> None:
    folder = write_entry(tmp_path)
    (folder / "images.json").unlink(missing_ok=True)
    os.mkfifo(folder / "images.json")
    assert "no plain file" in problem(folder).message


def test_number_of_files_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(archive, "MAX_FILES", 3)
    folder = write_entry(tmp_path, others=pictures())
    assert "more than 3 files" in problem(folder).message
    monkeypatch.setattr(archive, "DIRECTORY_LIMIT", 100)
    assert "more than the 3 files" in problem(zipped(folder)).message


# --- zips -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["../evil.json", "/etc/evil", "images/../../evil", "..\\evil", "mine/entry.json", "C:evil"]
)
def test_names_in_a_zip_lead_nowhere(tmp_path: Path, name: str) -> None:
    folder = write_entry(tmp_path / "results")
    (folder / "images.json").write_text("{}")
    path = zipped(folder, images=name)
    before = tree(tmp_path)
    assert "unknown file" in problem(path).message
    assert tree(tmp_path) == before


@pytest.mark.parametrize("suffix", [".zip", ".ZIP"])
def test_zip_of_the_folder_is_as_good_as_one_of_its_files(tmp_path: Path, suffix: str) -> None:
    """A right click makes it: the folder at the top, members for folders, and on a Mac its double."""
    records = write_entry(tmp_path / "there", others=pictures())
    path = Path(shutil.make_archive(str(tmp_path / "mine"), "zip", root_dir=records.parent, base_dir="mine"))
    with zipfile.ZipFile(path, "a") as packed:
        for name in ("mine/.DS_Store", "__MACOSX/mine/._entry.json", "__MACOSX/._mine", "mine/images/Thumbs.db"):
            packed.writestr(name, bytes(100_000), compress_type=zipfile.ZIP_DEFLATED)
    path = path.rename(path.with_suffix(suffix))
    assert validate(path) == validate(records)
    (result,) = opened(tmp_path / "there")
    shutil.rmtree(tmp_path / "there")
    (again,) = opened(tmp_path)
    assert (again.entry, again.pictures) == (result.entry, result.pictures)
    assert again.pack.read(again.pictures[CELL].file) == pictures()[again.pictures[CELL].file]


@pytest.mark.parametrize("top", ["..", ".", "images", "a/b", ""])
def test_files_of_a_zip_are_in_no_other_folder(tmp_path: Path, top: str) -> None:
    folder = write_entry(tmp_path)
    with zipfile.ZipFile(tmp_path / "mine.zip", "w") as packed:
        for file in folder.iterdir():
            packed.write(file, f"{top}/{file.name}")
            packed.filelist[-1].filename = f"{top}/{file.name}"  # which is cleaned of a leading slash before
    assert "unknown file" in problem(tmp_path / "mine.zip").message


def test_file_twice_in_a_zip_is_a_problem(tmp_path: Path) -> None:
    path = zipped(write_entry(tmp_path))
    with zipfile.ZipFile(path, "a") as packed, pytest.warns(UserWarning, match="Duplicate name"):
        packed.writestr("entry.json", "{}")
    assert "there twice" in problem(path).message


def bomb(path: Path, name: str, data: bytes, compression: int = zipfile.ZIP_DEFLATED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as packed:
        packed.writestr(name, data)
    return path


def test_zip_bombs_are_not_unpacked(tmp_path: Path) -> None:
    assert "packed smaller" in problem(bomb(tmp_path / "one.zip", "entry.json", bytes(1_000_000))).message
    assert "are allowed" in problem(bomb(tmp_path / "two.zip", "entry.json", os.urandom(2_000_000))).message
    liar = bytearray(bomb(tmp_path / "three.zip", "entry.json", os.urandom(2_000_000)).read_bytes())
    place = liar.rindex(b"PK\1\2")
    liar[place + 24 : place + 28] = struct.pack("<I", 500_000)  # it declares a size that is allowed
    (tmp_path / "three.zip").write_bytes(liar)
    assert problem(tmp_path / "three.zip").file == "three.zip/entry.json"


def test_zips_that_hide_something_are_refused(tmp_path: Path) -> None:
    path = zipped(write_entry(tmp_path))
    good = path.read_bytes()
    assert validate(path).problems == []
    locator = struct.pack("<4sLQL", b"PK\6\7", 0, 0, 1)
    for data in (
        good + b"x",
        good[:-2] + b"\1\0x",
        good[:-22] + locator + good[-22:],
        good[:40],
        b"",
    ):
        path.write_bytes(data)
        assert "no plain zip" in problem(path).message
    path.write_bytes(b"PK\5\6" + bytes(18))  # a zip of nothing
    assert problem(path).file == "mine.zip/entry.json"


def test_encrypted_zip_is_a_problem(tmp_path: Path) -> None:
    path = zipped(write_entry(tmp_path))
    data = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\3\4", 6), (b"PK\1\2", 8)):
        data[data.index(mark) + offset] |= 1
    path.write_bytes(data)
    assert "damaged" in problem(path).message


# --- several entries ------------------------------------------------------------------------------------------------


def test_a_bad_entry_hides_no_good_one(tmp_path: Path) -> None:
    for name in ("aaa", "mmm", "zzz"):
        write_entry(tmp_path, name)
    write_entry(tmp_path, "bad", title=...)
    (tmp_path / "worse.zip").write_bytes(b"PK")
    found, problems = open_all(tmp_path)
    assert [r.entry.id for r in found] == ["aaa", "mmm", "zzz"]
    assert [p.file for p in problems] == ["bad/entry.json", "worse.zip"]


def test_id_that_is_there_twice_counts_once(tmp_path: Path) -> None:
    other = zipped(write_entry(tmp_path, title="The other"))
    write_entry(tmp_path, title="The first")
    found, problems = open_all(tmp_path)
    assert [r.entry.title for r in found] == ["The first"]
    assert [(p.file, p.field) for p in problems] == [(f"{other.name}/entry.json", "id")]


def test_break_without_its_entry_is_left_out_and_what_is_about_it_too(tmp_path: Path) -> None:
    write_entry(tmp_path, "third", kind="correction", amends="second")
    write_entry(tmp_path, "second", kind="break", amends="first")
    found, problems = open_all(tmp_path)
    assert found == []
    assert [p.file for p in problems] == ["second/entry.json", "third/entry.json"]
    write_entry(tmp_path, "first")
    assert {r.entry.id for r in opened(tmp_path)} == {"first", "second", "third"}


# --- verification and pictures --------------------------------------------------------------------------------------


def verified(root: Path, name: str = "mine", **changes: Any) -> None:
    """Write `verified.json` as a maintainer would."""
    digest = files_sha256(open_result(root / name).entry)
    facts = {"by": "Ada", "date": "2026-11-25", "cells": 8, "of": 8, "largest_difference": 0.0, "files_sha256": digest}
    (root / "verified.json").write_text(json.dumps({name: facts | changes}))


def test_verification_counts_for_the_files_it_names(tmp_path: Path) -> None:
    folder = write_entry(tmp_path)
    verified(tmp_path)
    assert opened(tmp_path)[0].trusted
    for name, data in pictures().items():
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_bytes(data)
    rewrite(folder)
    assert opened(tmp_path)[0].sprites() == {}, "pictures that nobody looked at, put beside records that were verified"
    verified(tmp_path)
    assert opened(tmp_path)[0].sprites()
    verified(tmp_path, files_sha256="0" * 64)
    assert opened(tmp_path)[0].verification is None


def test_verification_of_some_cells_covers_these_alone(tmp_path: Path) -> None:
    write_entry(tmp_path, others=pictures())
    first, *_, last = (record.cell for record in opened(tmp_path)[0].records())
    verified(tmp_path, cells=1, only=[CELL])
    (mine,) = opened(tmp_path)
    assert (mine.trusted, mine.vouched(CELL), list(mine.sprites())) == (False, True, [CELL])
    assert [mine.vouched(cell) for cell in (first, last) if cell != CELL] == [False] * len({first, last} - {CELL})
    verified(tmp_path, cells=1)
    assert not opened(tmp_path)[0].vouched(CELL), "one of eight, and nobody says which"


@pytest.mark.parametrize(
    "changes", [{"cells": 0}, {"of": "all"}, {"largest_difference": "none"}, {"by": ""}, {"signed": True}]
)
def test_bad_verifications_are_a_problem_and_count_for_nothing(tmp_path: Path, changes: dict[str, Any]) -> None:
    write_entry(tmp_path)
    verified(tmp_path, **changes)
    found, problems = open_all(tmp_path)
    assert [(r.entry.id, r.verification) for r in found] == [("mine", None)]
    assert [(p.file, p.field) for p in problems] == [("verified.json", f"mine.{next(iter(changes))}")]


def test_pictures_are_shown_on_the_word_of_maintainers_alone(tmp_path: Path) -> None:
    write_entry(tmp_path, others=pictures())
    write_entry(tmp_path, "reference", kind="reference", others=pictures())
    mine, reference = opened(tmp_path)
    assert mine.pictures
    assert mine.sprites() == {}
    with pytest.raises(KeyError):
        mine.sprite_bytes(CELL)
    assert list(reference.sprites()) == [CELL]
    assert reference.sprite_bytes(CELL)[:4] == b"RIFF"
    verified(tmp_path)
    assert list(opened(tmp_path)[0].sprites()) == [CELL]


@pytest.mark.parametrize(
    ("facts", "field"),
    [
        ({"file": "../../photo.webp"}, f"{CELL}.file"),
        ({"file": f"images/{'0' * 64}.webp"}, f"{CELL}.file"),
        ({"tile": 1_000_000}, f"{CELL}.tile"),
        ({"groups": {"nude": [0, 2]}}, f"{CELL}.groups.nude.[key]"),
        ({"groups": {"clean": [0, 1], "generated": [5, 1]}}, f"{CELL}.groups"),
        ({"groups": {"clean": [0, -1]}}, f"{CELL}.groups.clean.1"),
    ],
)
def test_sprite_that_is_wrong_is_named(tmp_path: Path, facts: dict[str, Any], field: str) -> None:
    files = pictures()
    sprite = json.loads(files["images.json"])[CELL]
    files["images.json"] = json.dumps({CELL: sprite | facts}).encode()
    found = problem(write_entry(tmp_path, others=files))
    assert (found.file, found.field) == ("mine/images.json", field)


def test_picture_must_be_what_it_is_said_to_be(tmp_path: Path) -> None:
    files = pictures()
    name = next(name for name in files if name.endswith(".webp"))
    assert validate(write_entry(tmp_path, "good", others=files)).problems == []
    assert "no WebP" in problem(write_entry(tmp_path, "html", others=files | {name: b"<script>"})).message
    assert "no WebP" in problem(write_entry(tmp_path, "cut", others=files | {name: files[name][:-30]})).message
    busy, whole = draw(CELL, {"clean": [np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)]})
    half = bytearray(whole[: len(whole) // 4 * 2])  # its header says that it is whole
    half[4:8], half[16:20] = (struct.pack("<I", len(half) - offset) for offset in (8, 20))
    listed = Sprites({CELL: busy}).model_dump_json().encode()
    found = problem(write_entry(tmp_path, "half", others={"images.json": listed, name: bytes(half)}))
    assert "no WebP" in found.message
    sprite = Sprite(file=name, tile=8, groups={"clean": (0, 3)})
    text = Sprites({CELL: sprite}).model_dump_json().encode()
    assert "3 tiles of 8" in problem(write_entry(tmp_path, "wide", others=files | {"images.json": text})).message


@pytest.mark.parametrize("changes", [{"data": "celebahq"}, {"status": "failed", "reason": "no memory"}])
def test_pictures_of_others_than_invented_people_are_a_problem(tmp_path: Path, changes: dict[str, Any]) -> None:
    records = [r if r.cell != CELL else Record.model_validate(r.model_dump() | changes) for r in grid()]
    found = validate(write_entry(tmp_path, records=records, others=pictures())).problems
    assert any("invented people" in p.message for p in found)


# --- anything at all ------------------------------------------------------------------------------------------------

JSON: Any = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4),
    max_leaves=8,
)
FUZZ = settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])


def survives(root: Path, path: Path) -> None:
    """The validator ends with problems or without, and writes nothing."""
    before = tree(root)
    findings = validate(path)
    assert all(warning.isprintable() and len(warning) < 400 for warning in findings.warnings)
    for found in findings.problems:
        assert str(found).isprintable()
        assert found.file.startswith(path.name)
        assert found.field
        assert found.message
    open_all(path.parent)
    assert tree(root) == before


@FUZZ
@given(data=st.data())
def test_mutated_json_is_never_more_than_a_problem(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    record = json.loads(GOOD)
    place = data.draw(st.sampled_from(["entry", "record", "sprites"]))
    name = data.draw(st.sampled_from(sorted(record)) | st.text(max_size=8))
    inner = data.draw(st.none() | st.sampled_from(["ilr", "data", "0", "name", "config", "images", "protocol"]))
    value = data.draw(JSON)
    if place == "record":
        record[name] = {**record[name], inner: value} if inner and isinstance(record.get(name), dict) else value
        folder = write_entry(root / "results", records=json.dumps(record).encode())
    elif place == "sprites":
        key = data.draw(st.sampled_from([CELL, "x"]))
        folder = write_entry(root / "results", others=pictures() | {"images.json": json.dumps({key: value}).encode()})
    else:
        field = data.draw(st.sampled_from(["id", "kind", "title", "authors", "paper", "card", "files", "amends", "x"]))
        folder = write_entry(root / "results", **{field: value})
    survives(root, folder)


@FUZZ
@given(data=st.data())
def test_mutated_bytes_are_never_more_than_a_problem(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject
) -> None:
    root = tmp_path_factory.mktemp("fuzz")
    path = write_entry(root / "results", others=pictures())
    if data.draw(st.booleans()):
        path = file = zipped(path)
    else:
        file = path / data.draw(st.sampled_from(["entry.json", "records.jsonl.gz", "images.json"]))
    content = bytearray(file.read_bytes())
    for _ in range(data.draw(st.integers(1, 4))):
        start = data.draw(st.integers(0, len(content)))
        content[start : start + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=30))
    file.write_bytes(content)
    if path.is_dir() and file.name != "entry.json" and data.draw(st.booleans()):
        rewrite(path)
    survives(root, path)


def test_opened_entry_without_verifications_has_none(tmp_path: Path) -> None:
    assert open_result(write_entry(tmp_path)).verification is None


def test_the_same_problem_of_several_cells_is_told_once() -> None:
    text = StringIO()
    same = [Problem(f"x/records.jsonl.gz, cell {i}", "provenance.data.licence", "says nothing.") for i in range(3)]
    tell(Findings([*same, Problem("x/entry.json", "title", "is empty.")]), Console(file=text, width=200))
    assert text.getvalue().splitlines() == [
        "  problem: x/records.jsonl.gz, cell 0: provenance.data.licence: says nothing. (2 more cells)",
        "  problem: x/entry.json: title: is empty.",
    ]
