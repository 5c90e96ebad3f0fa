"""One bad entry never stops a build, and a small one never makes a large page."""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from bench.results.record import Record
from leaderboard.__main__ import main
from leaderboard.entries import extent
from leaderboard.entries.reader import open_result
from leaderboard.review.validate import validate
from leaderboard.site import page_data, row_page
from leaderboard.site.board import Row
from leaderboard.site.build import build
from tests.support.boards import pack, record, table
from tests.support.entries import made, write_entry

LEAKS = {"dreambooth": [1.0, 0.5]}
Change = Callable[[dict[str, Any]], None]


def on_page(site: Path, name: str = "data.js") -> Any:
    text = (site / name).read_text()
    return json.loads(json.loads(text[text.index("(") + 1 : text.rindex(")")]))


def changed(root: Path, change: Change) -> Path:
    """An entry every record of which was changed, however the schema has it."""
    records = []
    for one in sorted(table("bad", LEAKS), key=lambda one: one.cell):
        facts = one.model_dump()
        change(facts)
        records.append(json.dumps(facts))
    return write_entry(root, "bad", "\n".join(records).encode())


def _set(*path: str, value: Any) -> Change:
    def change(record: dict[str, Any]) -> None:
        inner = record
        for name in path[:-1]:
            inner = inner[name]
        inner[path[-1]] = value

    return change


REFUSED: dict[str, Change] = {
    "huge seconds": _set("stages", "protect", "seconds", value=1e308),
    "negative seconds": _set("stages", "protect", "seconds", value=-1.0),
    "huge memory": _set("stages", "protect", "peak_mb", value=1e308),
    "huge passes": _set("stages", "protect", "passes", "unet", "plain", value=10**400),
    "huge score": _set("metrics", "ilr", value=1e308),
    "huge budget": _set("defense", "budget", value=1e308),
    "long name": _set("identity", value="x" * 10_000),
    "long settings": _set("defense", "config", value={"note": "x" * 100_000}),
    "long reason": _set("reason", value="x" * 100_000),
    "long protocol": _set("provenance", "protocol", value={"prompts": ["x" * 100_000]}),
}


@pytest.mark.parametrize("change", REFUSED.values(), ids=REFUSED)
def test_what_no_run_writes_is_refused_and_stops_no_build(tmp_path: Path, change: Change) -> None:
    results = tmp_path / "results"
    pack(results, "good", table("good", LEAKS))
    bad = changed(results, change)
    assert [problem.file for problem in validate(bad).problems] == ["bad/records.jsonl.gz:1"]
    assert [problem.file for problem in build(results, tmp_path / "site")] == ["bad/records.jsonl.gz:1"]
    (group,) = on_page(tmp_path / "site")["groups"]
    assert [row["label"] for row in group["rows"]] == ["good 8/255"]


SHOWN: dict[str, Change] = {
    "no label": _set("defense", value={"name": "precomputed", "budget": 8.0, "config": {}}),
    "a label that is no text": _set("defense", value={"name": "precomputed", "budget": 8.0, "config": {"label": [{}]}}),
    "a protocol of nobody": _set("provenance", "protocol", value={"version": 77, "prompts": []}),
    "no protocol": _set("provenance", "protocol", value=None),
    "one failed cell of the base": _set("attack", value={"name": "none", "config": {}}),
}


@pytest.mark.parametrize("change", SHOWN.values(), ids=SHOWN)
def test_what_is_odd_has_a_row_and_stops_no_build(tmp_path: Path, change: Change) -> None:
    results = tmp_path / "results"
    pack(results, "good", table("good", LEAKS))
    validate(changed(results, change))
    assert build(results, tmp_path / "site") == []
    assert len(on_page(tmp_path / "site")["entries"]) == 2


@pytest.mark.parametrize("compression", [zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2])
@pytest.mark.parametrize("damaged", [False, True])
def test_members_of_a_zip_are_stored_or_deflated(tmp_path: Path, compression: int, damaged: bool) -> None:
    results = tmp_path / "results"
    folder = write_entry(results)
    with zipfile.ZipFile(results / "mine.zip", "w", compression) as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, file.name)
    shutil.rmtree(folder)
    if damaged:
        data = bytearray((results / "mine.zip").read_bytes())
        data[60:80] = bytes(20)
        (results / "mine.zip").write_bytes(data)
    (found,) = validate(results / "mine.zip").problems
    assert (found.file, "neither stored nor deflated" in found.message) == ("mine.zip/entry.json", True)
    assert build(results, tmp_path / "site") == [found]


def test_names_in_a_zip_that_are_no_utf_8_are_a_problem(tmp_path: Path) -> None:
    results = tmp_path / "results"
    folder = write_entry(results)
    with zipfile.ZipFile(results / "mine.zip", "w") as packed:
        for file in sorted(folder.iterdir()):
            packed.write(file, file.name)
        packed.writestr("é.txt", "")
    shutil.rmtree(folder)
    file = results / "mine.zip"
    file.write_bytes(file.read_bytes().replace("é".encode(), b"\xff\xfe"))
    (found,) = validate(file).problems
    assert (found.file, found.message[:14]) == ("mine.zip", "cannot be read")
    assert build(results, tmp_path / "site") == [found]


# --- what nobody thought of -----------------------------------------------------------------------------------------


def _stumble(*arguments: Any) -> Any:
    raise KeyError("unforeseen")


def test_whatever_reading_an_entry_stumbles_over_is_a_problem(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS))
    monkeypatch.setattr("leaderboard.site.grouping.comparable", _stumble)
    monkeypatch.setattr("leaderboard.review.validate.check", _stumble)
    assert main(["build", str(tmp_path / "results"), "-o", str(tmp_path / "site")]) == 1
    assert "mine: (whole file): is not understood (KeyError: 'unforeseen'" in capsys.readouterr().err
    assert on_page(tmp_path / "site")["entries"] == {}
    assert main(["validate", str(tmp_path / "results" / "mine")]) == 1
    assert "is not understood" in capsys.readouterr().out


@pytest.mark.parametrize("where", ["page_data._row", "row_page._warnings"])
def test_an_entry_that_breaks_the_pages_of_all_is_found_and_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, where: str
) -> None:
    module, _, name = where.partition(".")
    whole = getattr({"page_data": page_data, "row_page": row_page}[module], name)

    def stumbling(first: Any, second: Any, *more: Any) -> Any:
        row = first if isinstance(first, Row) else second
        return _stumble() if row.record.defense.name == "bad" else whole(first, second, *more)

    monkeypatch.setattr(f"leaderboard.site.{where}", stumbling)
    for name in ("aaa", "bad", "zzz"):
        pack(tmp_path / "results", name, table(name, LEAKS), kind="reference" if name == "zzz" else "defense")
    (found,) = build(tmp_path / "results", tmp_path / "site")
    assert (found.file, found.message[:17]) == ("bad", "is not understood")
    assert sorted(on_page(tmp_path / "site")["entries"]) == ["aaa", "zzz"]


def test_a_full_disk_is_no_entrys_fault(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS))

    def full(*arguments: Any) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("leaderboard.site.build._write", full)
    with pytest.raises(OSError, match="No space"):
        build(tmp_path / "results", tmp_path / "site")


def test_leaks_counted_by_other_thresholds_do_not_stand_beside_the_maintainers(tmp_path: Path) -> None:
    """The same photos and judges: a threshold that is raised makes a cloak look better than its rivals."""
    known, raised = {"ilr": 0.5, "far": 0.01, "pairs": 500}, {"ilr": 0.6, "far": 0.01, "pairs": 500}
    results = tmp_path / "results"
    pack(results, "reference", table("none", LEAKS, thresholds=known), kind="reference")
    pack(results, "mine", table("mine", LEAKS, thresholds=known))
    pack(results, "zzz", table("zzz", {"dreambooth": [0.0, 0.0]}, thresholds=raised))
    assert build(results, tmp_path / "site") == []
    first, second = on_page(tmp_path / "site")["groups"]
    assert [row["label"] for row in first["rows"]] == ["clean", "mine 8/255"]
    assert [row["label"] for row in second["rows"]] == ["zzz 8/255"]
    assert "zzz alone, which contradicts" in second["name"]


# --- how much there may be ------------------------------------------------------------------------------------------


def test_a_small_entry_makes_no_large_page(tmp_path: Path) -> None:
    """The base stands once for every attack and countermeasure: written out, these would be half a million cells."""
    many, people = 60, 150
    records = [record("none", f"p{i}", 0.5, attack="none") for i in range(people)]
    records += [record("mine", "p0", 0.5, attack=f"a{i}") for i in range(many)]
    records += [record("mine", "p0", 0.5, attack="a0", chain=[f"c{i}"]) for i in range(many)]
    pack(tmp_path / "results", "mine", records)
    assert build(tmp_path / "results", tmp_path / "site") == []
    (group,) = on_page(tmp_path / "site")["groups"]
    assert (len(group["attacks"]), len(group["chains"]), len(group["people"])) == (many, many + 1, people)
    assert len(group["cells"]["row"]) == len(records)
    assert (tmp_path / "site" / "data.js").stat().st_size < 100_000


@pytest.mark.parametrize("what", extent.MOST)
def test_what_an_entry_may_hold_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    three: dict[str, list[Record]] = {
        "records": [made(seed=seed) for seed in range(3)],
        "people": [made(person) for person in "abc"],
        "attacks with their settings": [made(attack=name) for name in "abc"],
        "chains of countermeasures with their settings": [made(chain=[name]) for name in "abc"],
        "defenses with their settings": [made(defense=name) for name in "abc"],
        "boards": [made(base=name) for name in "abc"],
    }
    folder = write_entry(tmp_path, records=three[what])
    monkeypatch.setattr(extent, "MOST", dict.fromkeys(extent.MOST, 3))
    assert len(list(open_result(folder).records())) == 3
    monkeypatch.setitem(extent.MOST, what, 2)
    (found,) = validate(folder).problems
    assert found.message.startswith(f"more than 2 {what}")
    assert build(tmp_path, tmp_path / "site") == [found]


def test_records_that_are_packed_too_small_are_not_unpacked(tmp_path: Path) -> None:
    """A thousand records that differ in little more than their names become a hundredth of their size."""
    text = made(reason="x" * 4_900).model_dump_json()
    cells = [text.replace(made().cell, f"{i:064}").replace('"p01"', f'"p{i}"') for i in range(1_000)]
    (found,) = validate(write_entry(tmp_path, records="\n".join(cells).encode())).problems
    assert "too large" in found.message
