"""What an entry that passes validation cannot do: change what the board says of others."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.results.record import MethodFacts, Record
from leaderboard.entries.reader import open_all, open_result
from leaderboard.entries.verifications import Verification, files_sha256, write
from leaderboard.review.validate import validate
from leaderboard.site.board import Group
from leaderboard.site.build import build
from leaderboard.site.grouping import groups
from tests.support.boards import pack, record, table
from tests.support.entries import grid, made, write_entry

PEOPLE = 4
LEAKS = {
    "none": {"lora": [1.0] * PEOPLE, "instantid": [1.0] * PEOPLE},
    "noise": {"lora": [0.95] * PEOPLE, "instantid": [0.96] * PEOPLE},
    "dladiff": {"lora": [0.1] * PEOPLE, "instantid": [0.0] * PEOPLE},
}
STRANGERS = {"lora": [0.5] * 60, "instantid": [0.5] * 60}
"""Leaks of people of whom the first `PEOPLE` are the reference's; the others nobody else has heard of."""


def same(defense: str, leak: float, people: int = 60, **more: Any) -> list[Record]:
    return table(defense, {attack: [leak] * people for attack in STRANGERS}, **more)


def mine(*more: Record) -> list[Record]:
    """A cloak, and what else an entry brings."""
    return [*same("mine", 0.2), *more]


def stolen(records: Sequence[Record], theirs: Sequence[Record]) -> list[Record]:
    """With the ids of other cells."""
    pairs = zip(records, theirs, strict=False)
    return [record.model_copy(update={"cell": other.cell}) for record, other in pairs]


def reference() -> list[Record]:
    return [one for name, leaks in LEAKS.items() for one in table(name, leaks)]


ATTACKS: dict[str, tuple[dict[str, Any], Callable[[], list[Record]]]] = {
    "noise of other people": ({}, lambda: mine(*same("noise", 0.0))),
    "noise of other seeds": ({}, lambda: mine(*(one for s in range(9) for one in same("noise", 0.0, PEOPLE, seed=s)))),
    "noise of other settings": ({}, lambda: mine(*same("noise", 0.0, config={"a": 1}))),
    "noise in place of ours": ({}, lambda: mine(*stolen(same("noise", 0.0, PEOPLE), table("noise", LEAKS["noise"])))),
    "clean photos that nobody recognises": ({}, lambda: mine(*same("none", 0.0))),
    "a base that draws everybody": (
        {},
        lambda: mine(*(record("none", f"x{i}", 1.0, attack="none") for i in range(60))),
    ),
    "a break of other people": ({"kind": "break", "amends": "ours"}, lambda: same("dladiff", 1.0)),
    "a break by other seeds": (
        {"kind": "break", "amends": "ours"},
        lambda: [one for s in range(1, 9) for one in same("dladiff", 1.0, PEOPLE, seed=s)],
    ),
    "a break in place of ours": (
        {"kind": "break", "amends": "ours"},
        lambda: stolen(same("dladiff", 1.0, PEOPLE), table("dladiff", LEAKS["dladiff"])),
    ),
    "a break that costs and shows": (
        {"kind": "break", "amends": "ours"},
        lambda: [
            one.model_copy(update={"metrics": one.metrics | {"psnr": 5.0, "linf": 255.0}})
            for one in same("dladiff", 1.0, PEOPLE, chain=["jpeg"])
        ],
    ),
}


def page(root: Path) -> Any:
    assert build(root / "results", root / "site") == []
    text = (root / "site" / "data.js").read_text()
    return json.loads(json.loads(text[text.index("(") + 1 : text.rindex(")")]))


def ours(data: Any) -> dict[str, Any]:
    """Row -> what the page says of it, of rows with cells that the maintainers ran, and everybody's; cells by names."""
    (group,) = data["groups"]
    cells, found = group["cells"], {}
    for number, row in enumerate(group["rows"]):
        if row["entry"] not in ("", "ours"):
            continue
        said = {key: row[key] for key in ("entry", "control", "bad", "seconds", "evaluations")}
        looks = {
            name: {person: value for person, value in zip(group["people"], values, strict=True) if value is not None}
            for name, values in row["sight"].items()
            if values
        }
        measured = {
            (group["attacks"][a], group["chains"][c], group["people"][p]): (leak, group["sources"][s])
            for r, a, c, p, s, leak in zip(
                *(cells[key] for key in ("row", "attack", "chain", "person", "source", "ilr")), strict=True
            )
            if r == number
        }
        found[row["label"].removesuffix(" (by ours)")] = said | looks | {"cells": measured}
    return found


@pytest.mark.parametrize("attack", ATTACKS)
def test_a_stranger_changes_nothing_that_is_said_of_others(tmp_path: Path, attack: str) -> None:
    pack(tmp_path / "results", "ours", reference(), kind="reference")
    before = ours(page(tmp_path))
    facts, records = ATTACKS[attack]
    pack(tmp_path / "results", "evil", records(), **facts)
    after = ours(page(tmp_path))
    assert after.keys() == before.keys()
    for label, said in before.items():
        kept = {place: cell for place, cell in after[label]["cells"].items() if place in said["cells"]}
        assert kept == said["cells"], label
        assert {**after[label], "cells": None} == {**said, "cells": None}, label
        new = after[label]["cells"].keys() - kept.keys()
        tried = {place[:2] for place in kept}
        assert not {place[:2] for place in new} & tried, "other people at an attack would move its mean"
        assert not any(after[label]["cells"][place][1]["verified"] for place in new)


def found(root: Path) -> Group:
    results, problems = open_all(root)
    (group,), _, more = groups(results)
    assert problems + more == []
    return group


def leaks(group: Group, *key: str) -> dict[tuple[str, str], list[tuple[float, str]]]:
    """(attack, person) -> leak and entry of each cell, of the one row that has a label and an owner."""
    (row,) = [row for row in group.rows.values() if (row.label, row.entry) == key]
    named = {(json.loads(place[0])[0], place[2]): cells for place, cells in row.cells.items()}
    return {place: [(cell.metrics["ilr"], cell.entry) for cell in cells] for place, cells in named.items()}


def test_an_entrys_own_controls_are_a_row_of_its_own_where_ours_lack_them(tmp_path: Path) -> None:
    """In it, what the maintainers have is theirs: nobody chooses the noise that his cloak is held against."""
    pack(tmp_path, "ours", table("noise", {"lora": [0.9]}), kind="reference")
    pack(tmp_path, "mine", table("noise", {"lora": [0.0, 0.1], "new": [0.2]}) + table("mine", {"lora": [0.5, 0.5]}))
    pack(tmp_path, "yours", table("noise", {"lora": [0.0]}) + table("yours", {"lora": [0.5]}))
    group = found(tmp_path)
    assert leaks(group, "noise 8/255", "") == {("lora", "person-00"): [(0.9, "ours")]}
    assert leaks(group, "noise 8/255", "mine") == {
        ("lora", "person-00"): [(0.9, "ours")],
        ("lora", "person-01"): [(0.1, "mine")],
        ("new", "person-00"): [(0.2, "mine")],
    }
    assert sum(row.label == "noise 8/255" for row in group.rows.values()) == 2, "yours adds nothing to ours"
    assert group.people == 1


def test_strangers_have_their_own_controls_each(tmp_path: Path) -> None:
    for name, leak in (("mine", 0.9), ("yours", 0.1)):
        pack(tmp_path, name, table("noise", {"lora": [leak]}) + table(name, {"lora": [0.5]}))
    group = found(tmp_path)
    for name, leak in (("mine", 0.9), ("yours", 0.1)):
        assert leaks(group, "noise 8/255", name) == {("lora", "person-00"): [(leak, name)]}


def test_a_break_owns_what_the_broken_entry_does_not_have(tmp_path: Path) -> None:
    """Another budget is another row: it would stand there as the maintainers' own."""
    pack(tmp_path, "ours", table("dladiff", {"lora": [0.1]}), kind="reference")
    pack(tmp_path, "evil", table("dladiff", {"lora": [1.0]}, budget=4), kind="break", amends="ours")
    owners = {row.label: row.entry for row in found(tmp_path).rows.values()}
    assert owners == {"dladiff 8/255": "ours", "dladiff 4/255": "evil"}


def test_of_breaks_by_one_attack_the_first_counts_and_that_of_the_maintainers_before(tmp_path: Path) -> None:
    pack(tmp_path, "ours", table("dladiff", {"lora": [0.1]}), kind="reference")
    for name, day, leak in (("early", "24", 0.5), ("later", "25", 1.0)):
        broken = table("dladiff", {"new": [leak, leak]})
        pack(tmp_path, name, broken, kind="break", amends="ours", submitted=f"2026-11-{day}")
    new = "new", "person-01"
    assert leaks(found(tmp_path), "dladiff 8/255", "ours")[new] == [(0.5, "early")]
    verify(tmp_path, "later")
    assert leaks(found(tmp_path), "dladiff 8/255", "ours")[new] == [(1.0, "later")]


def verify(root: Path, name: str, *only: str) -> None:
    """As a maintainer who ran an entry, or some cells of it."""
    result = open_result(root / name)
    every = [record.cell for record in result.records()]
    facts = {"by": "Ada", "date": "2026-11-30", "cells": len(only or every), "of": len(every), "only": list(only)}
    facts |= {"largest_difference": 0.0, "files_sha256": files_sha256(result.entry)}
    write(root / "verified.json", name, Verification.model_validate_json(json.dumps(facts)))


def test_an_attack_of_a_stranger_does_not_go_by_the_name_of_ours(tmp_path: Path) -> None:
    """It has one more setting, which no label would tell."""
    pack(tmp_path / "results", "ours", table("dladiff", {"lora": [0.1]}), kind="reference")
    theirs = [
        one.model_copy(update={"attack": MethodFacts(name="lora", config={"x": 1})})
        for one in table("dladiff", {"lora": [1.0]})
    ]
    pack(tmp_path / "results", "evil", theirs, kind="break", amends="ours")
    (group,) = page(tmp_path)["groups"]
    assert len(group["attacks"]) == 2
    assert ours({"groups": [group]})["dladiff 8/255"]["cells"]["lora", "none", "person-00"][0] == 1_000


def test_cells_are_verified_one_by_one(tmp_path: Path) -> None:
    root = tmp_path / "results"
    records = table("mine", {"lora": [0.1, 0.2]}) + table("noise", {"lora": [0.8, 0.9]})
    pack(root, "mine", records)
    verify(root, "mine", records[0].cell, records[2].cell)
    data = page(tmp_path)
    (group,) = data["groups"]
    assert {(r["label"], r["entry"]) for r in group["rows"]} == {
        ("noise 8/255", ""),
        ("noise 8/255 (by mine)", "mine"),
        ("mine 8/255", "mine"),
    }
    verified = {
        (group["rows"][r]["label"], group["people"][p]): group["sources"][s]["verified"]
        for r, p, s in zip(*(group["cells"][key] for key in ("row", "person", "source")), strict=True)
    }
    assert verified == {
        ("noise 8/255", "person-00"): True,
        ("noise 8/255 (by mine)", "person-00"): True,
        ("noise 8/255 (by mine)", "person-01"): False,
        ("mine 8/255", "person-00"): True,
        ("mine 8/255", "person-01"): False,
    }
    (row,) = [row for row in group["rows"] if row["defense"] == "mine"]
    text = (tmp_path / "site" / "rows" / f"{group['id']}-{row['id']}.html").read_text()
    assert "1 of 2 cells verified" in text
    assert "mine (self-reported)" in text


def test_a_second_record_at_one_place_and_seed_is_a_problem(tmp_path: Path) -> None:
    again = made("p01", "aspl", 8, leaks=0).model_copy(update={"cell": "0" * 64})
    (problem,) = validate(write_entry(tmp_path / "results", records=[*grid(), again])).problems
    assert "are of one person, method and seed" in problem.message
    assert build(tmp_path / "results", tmp_path / "site") == [problem]
