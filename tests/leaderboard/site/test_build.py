"""The board from entries: what may be compared, what joins what, and what a bad entry cannot do."""

from __future__ import annotations

import hashlib
import io
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.results.record import MethodFacts, ModelFacts
from bench.results.standard import sampler
from leaderboard.entries.reader import open_all
from leaderboard.review.validate import validate
from leaderboard.site.board import Group, Row, surrogates_apart
from leaderboard.site.build import build
from leaderboard.site.grouping import groups
from tests.support.boards import PROTOCOL, pack, record, table
from tests.support.contexts import ROOT
from tests.support.entries import maintain

LEAKS = {"dreambooth": [1.0, 0.5, 0.75], "lora": [0.5, 1.0, 0.25]}


def page_data(site: Path, name: str = "data.js") -> Any:
    """What a script of the site hands to the page."""
    text = (site / name).read_text()
    return json.loads(json.loads(text[text.index("(") + 1 : text.rindex(")")]))


def built(root: Path) -> Any:
    assert build(root / "results", root / "site") == []
    return page_data(root / "site")


def leaks(group: Any, label: str) -> dict[tuple[str | None, str | None, str], float | None]:
    """(attack, countermeasures, person) -> ILR of a row; the base has but a person."""
    cells = group["cells"]
    (row,) = [i for i, r in enumerate(group["rows"]) if r["label"] == label]
    return {
        (
            None if a is None else group["attacks"][a],
            None if c is None else group["chains"][c],
            group["people"][p],
        ): None if leak is None else leak / 10_000
        for r, a, c, p, leak in zip(*(cells[k] for k in ("row", "attack", "chain", "person", "ilr")), strict=True)
        if r == row
    }


def test_every_cell_reaches_the_page(tmp_path: Path) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS) + table("none", LEAKS))
    (group,) = built(tmp_path)["groups"]
    assert group["attacks"] == ["dreambooth", "lora"]
    assert leaks(group, "mine 8/255") == {
        (attack, "none", f"person-{i:02}"): leak for attack, values in LEAKS.items() for i, leak in enumerate(values)
    }
    assert [(row["label"], row["control"]) for row in group["rows"]] == [("clean", True), ("mine 8/255", False)]
    assert group["rows"][1]["sight"]["psnr"] == [37, 37, 37]
    assert (group["rows"][1]["seconds"], group["rows"][1]["evaluations"]) == (10, 1210 / 4)


def test_one_person_who_took_long_says_nothing_of_what_a_cloak_takes(tmp_path: Path) -> None:
    """A machine that was suspended meanwhile counts that too."""
    records = table("mine", {"lora": [0.5, 0.25, 0.5]}) + table("none", {"lora": [0.9, 0.9, 0.9]})
    for i, seconds in enumerate((11.0, 30_000.0, 12.0)):
        stage = records[i].stages["protect"].model_copy(update={"seconds": seconds})
        records[i] = records[i].model_copy(update={"stages": records[i].stages | {"protect": stage}})
    pack(tmp_path / "results", "mine", records)
    (group,) = built(tmp_path)["groups"]
    assert group["rows"][1]["seconds"] == 12.0


def test_a_rows_page_has_the_controls_beside_it_its_pictures_and_commands_to_copy(tmp_path: Path) -> None:
    records = [one for name in ("none", "noise", "mine") for one in table(name, {"lora": [0.5, 0.25]})]
    records += table("noise", {"lora": [0.9, 0.9]}, budget=4)
    pack(tmp_path / "results", "ours", records, True, kind="reference", command="python -m bench 'a<b'")
    (group,) = built(tmp_path)["groups"]
    (row,) = [row for row in group["rows"] if row["name"] == "mine 8/255"]
    page = (tmp_path / "site" / "rows" / f"{group['id']}-{row['id']}.html").read_text()
    assert page.count('<td class="muted">0.38</td>') == 2, "clean, and noise of the same budget"
    assert ">0.90<" not in page, "noise of another budget"
    assert "person-00, lora" in page
    assert "person-00, lora, without a cloak" in page
    assert "person-01, lora" not in page
    files = re.findall(r"url\(&#39;([^&]+)&#39;\)|url\('([^']+)'\)", page)
    shown = {(tmp_path / "site" / "rows" / (first or second)).resolve() for first, second in files}
    assert len(shown) == 2
    assert all(file.is_file() for file in shown)
    assert '<button type="button" data-copy="command">' in page
    assert '<pre id="command">python -m bench &#39;a&lt;b&#39;</pre>' in page


def test_it_tells_how_far_it_has_come(tmp_path: Path) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS) + table("none", LEAKS), True, kind="reference")
    said: list[str] = []
    build(tmp_path / "results", tmp_path / "site", tell=said.append)
    assert said == [
        "Entries found: 1. Reading their records ...",
        "Rows: 2. Writing their pages, and 12 strips of pictures ...",
    ]


def test_a_rows_page_says_what_of_each_attack_it_was_made_against(tmp_path: Path) -> None:
    leaks = {"dreambooth": [0.5], "instantid": [0.5]}
    records = [
        each.model_copy(
            update={"surrogates": ["facelet-1"], "attack": MethodFacts(name=each.attack.name, config=config)}
        )
        for each in table("mine", leaks, config={"recognisers": ["facelet-id-a"]})
        for config in [{"recogniser": "facelet-id-b"} if each.attack.name == "instantid" else {}]
    ]
    pack(tmp_path / "results", "mine", records + table("none", leaks))
    (group,) = built(tmp_path)["groups"]
    pages = {
        row["defense"]: (tmp_path / "site" / "rows" / f"{group['id']}-{row['id']}.html").read_text()
        for row in group["rows"]
    }
    assert "<td>base</td>" in pages["mine"]
    assert "<td>base; not recogniser</td>" in pages["mine"]
    assert "made against" not in pages["none"]


def test_passes_that_nobody_counted_are_unknown_and_not_none(tmp_path: Path) -> None:
    """Those of photoguard, which sends nothing through the UNet, are 0; those of records from before are not known."""
    (old,), (none,) = table("old", {"lora": [0.5]}), table("vae", {"lora": [0.5]})
    stages = {"old": {"protect": old.stages["protect"].model_copy(update={"passes": None})}}
    stages["vae"] = {"protect": none.stages["protect"].model_copy(update={"passes": {}})}
    records = [one.model_copy(update={"stages": stages[one.defense.name]}) for one in (old, none)]
    pack(tmp_path / "results", "mine", records)
    (group,) = built(tmp_path)["groups"]
    assert {row["defense"]: row["evaluations"] for row in group["rows"]} == {"old": None, "vae": 0}
    pages = {page.name: page.read_text() for page in (tmp_path / "site" / "rows").iterdir()}
    said = {row["defense"]: pages[f"{group['id']}-{row['id']}.html"] for row in group["rows"]}
    assert "<dd>0 a photo</dd>" in said["vae"]
    assert "<dd>0 a photo</dd>" not in said["old"]


def test_evaluations_a_photo_stand_beside_the_published_ones(tmp_path: Path) -> None:
    """1,210 samples for four photos; records that do not state how many photos there were leave it open."""
    (counted,), (silent,) = table("mine", {"lora": [0.5]}), table("old", {"lora": [0.5]})
    card = {name: {"description": "", "paper": "", "evaluations": 1000} for name in ("mine", "old")}
    pack(tmp_path / "results", "ours", [counted, silent.model_copy(update={"photo_count": None})], card=card)
    (group,) = built(tmp_path)["groups"]
    assert {row["defense"]: (row["evaluations"], row["published"]) for row in group["rows"]} == {
        "mine": (302.5, 1000),
        "old": (None, 1000),
    }
    pages = {page.name: page.read_text() for page in (tmp_path / "site" / "rows").iterdir()}
    said = {row["defense"]: pages[f"{group['id']}-{row['id']}.html"] for row in group["rows"]}
    assert "<dd>302 a photo, 1000 with the published settings</dd>" in said["mine"]
    assert "with the published settings" not in said["old"]


def test_seeds_are_averaged_and_failures_are_holes(tmp_path: Path) -> None:
    records = [record("mine", "a", 0.5), record("mine", "a", 1.0, seed=1), record("mine", "b", None)]
    pack(tmp_path / "results", "mine", records)
    (group,) = built(tmp_path)["groups"]
    assert leaks(group, "mine 8/255") == {("dreambooth", "none", "a"): 0.75, ("dreambooth", "none", "b"): None}
    assert group["rows"][0]["bad"] == 1
    (page,) = (tmp_path / "site" / "rows").iterdir()
    assert "no face found" in page.read_text()


def test_the_base_stands_once_and_on_its_page_against_every_attack(tmp_path: Path) -> None:
    base = [record("none", "person-00", 0.1, attack="none")]
    pack(tmp_path / "results", "mine", table("mine", LEAKS) + base)
    (group,) = built(tmp_path)["groups"]
    assert leaks(group, "base") == {(None, None, "person-00"): 0.1}
    assert group["attacks"] == ["dreambooth", "lora"]
    page = (tmp_path / "site" / "rows" / f"{group['id']}-{group['rows'][0]['id']}.html").read_text()
    assert page.count(">dreambooth<") == page.count(">lora<") == 2, "a line of the table, a column of the people"


def test_a_name_that_begins_like_a_control_is_none(tmp_path: Path) -> None:
    names = ("cleaner", "basecloak", "noisette", "jpegger")
    pack(tmp_path / "results", "mine", [one for name in names for one in table(name, LEAKS)] + table("noise", LEAKS))
    (group,) = built(tmp_path)["groups"]
    assert {row["defense"]: row["control"] for row in group["rows"]} == {"noise": True} | dict.fromkeys(names, False)
    assert group["rows"][0]["defense"] == "noise"


def test_controls_belong_to_everybody_and_count_once(tmp_path: Path) -> None:
    """Two entries bring the same clean cells: those of the reference count, whatever the other one claims."""
    pack(tmp_path / "results", "aaa", table("mine", LEAKS) + table("none", {"lora": [0.0, 0.0, 0.0]}))
    pack(tmp_path / "results", "zzz", table("none", LEAKS), kind="reference")
    (group,) = built(tmp_path)["groups"]
    assert leaks(group, "clean")["lora", "none", "person-01"] == 1.0
    assert [row["label"] for row in group["rows"]].count("clean") == 1


def test_other_data_and_other_protocols_are_other_boards(tmp_path: Path) -> None:
    pack(tmp_path / "results", "old", table("mine", LEAKS), protocol="1", submitted="2026-11-24")
    pack(tmp_path / "results", "new", table("mine", LEAKS), protocol="2", submitted="2026-11-25")
    pack(tmp_path / "results", "other", table("mine", LEAKS, photos="others"), submitted="2026-11-24")
    found = built(tmp_path)["groups"]
    assert [group["current"] for group in found] == [True, False, False]
    assert found[0]["facts"]["version"] == "2"
    assert found[0]["name"] == "synthetic · facelet-1 (protocol 2, photos photos, 3 people, steps 10)"
    assert all(len(group["rows"]) == 1 for group in found)


MODEL: dict[str, Any] = {"name": "facelet-1", "revision": None} | sampler(1, "facelet-1")
FOREIGN: dict[str, dict[str, Any]] = {
    "steps 1": {"model": MODEL | {"steps": 1}},
    "guidance 1.0": {"model": MODEL | {"guidance": 1.0}},
    "resolution 64": {"model": MODEL | {"resolution": 64}},
    "precision bf16": {"model": MODEL | {"precision": "bf16"}},
    "images_per_prompt 2": {"protocol": PROTOCOL | {"images_per_prompt": 2}},
    'prompt "{subject}"': {"protocol": PROTOCOL | {"prompts": ["{subject}"]}},
    "photos others": {"photos": "others"},
}


@pytest.mark.parametrize("apart", FOREIGN)
@pytest.mark.parametrize("recorded", [True, False], ids=["new reference", "old reference"])
def test_an_entry_made_otherwise_has_a_board_of_its_own(tmp_path: Path, apart: str, recorded: bool) -> None:
    """However many people it has, and however late it comes. References of before say nothing of the sampler."""
    reference = {"model": MODEL} if recorded else {}
    known = table("none", LEAKS, **reference) + table("aspl", LEAKS, **reference)
    pack(tmp_path / "results", "reference", known, kind="reference", submitted="2025-01-01")
    (alone,) = built(tmp_path)["groups"]
    low = {attack: [0.0] * 9 for attack in LEAKS}
    foreign = table("none", low, **FOREIGN[apart]) + table("mine", low, **FOREIGN[apart])
    pack(tmp_path / "results", "late", foreign, submitted="2026-11-25")
    first, second = built(tmp_path)["groups"]
    assert {**first, "name": ""} == {**alone, "name": ""}
    assert [first["current"], second["current"]] == [True, False]
    assert apart in second["name"]
    assert first["name"] != second["name"]
    assert apart not in first["name"]
    assert "older" not in first["name"] + second["name"]


@pytest.mark.parametrize(
    ("version", "name", "steps", "apart"),
    [(1, "facelet-2", 20, False), (1, "facelet-2", 10, True), (2, "facelet-2", 10, False), (2, "theirs", 10, True)],
)
def test_a_row_whose_surrogate_was_used_otherwise_stands_apart(
    version: int, name: str, steps: int, apart: bool
) -> None:
    (record, *_) = table("aspl", LEAKS, protocol=PROTOCOL | {"version": version}, model=MODEL | {"steps": 2})
    used = ModelFacts(**MODEL | {"name": name, "steps": steps})
    assert bool(surrogates_apart(record.model_copy(update={"surrogate_models": [used]}))) is apart
    assert surrogates_apart(record.model_copy(update={"surrogate_models": [record.model]})) == []


def test_an_entry_made_as_the_reference_was_joins_it(tmp_path: Path) -> None:
    """The reference is of before; cells that say how they were made have the same ids."""
    reference = table("none", LEAKS)
    pack(tmp_path / "results", "reference", reference, kind="reference")
    same = [r.model_copy(update={"model": ModelFacts(**MODEL)}) for r in reference + table("mine", LEAKS)]
    pack(tmp_path / "results", "mine", same)
    (group,) = built(tmp_path)["groups"]
    assert [row["label"] for row in group["rows"]] == ["clean", "mine 8/255"]


def test_an_entry_of_before_that_contradicts_the_reference_is_kept_apart(tmp_path: Path) -> None:
    """Its records do not say that it sampled otherwise, but its cells have other ids."""
    pack(tmp_path / "results", "reference", table("none", LEAKS), kind="reference")
    (alone,) = built(tmp_path)["groups"]
    silent = [
        r.model_copy(update={"model": None})
        for name in ("none", "mine")
        for r in table(name, {"lora": [0.0] * 3}, model=MODEL | {"steps": 1})
    ]
    pack(tmp_path / "results", "late", silent)
    first, second = built(tmp_path)["groups"]
    assert first == alone
    assert second["name"] == "synthetic · facelet-1 (late alone, which contradicts what is known of the same cells)"
    assert [row["label"] for row in second["rows"]] == ["clean", "mine 8/255"]


def test_an_entry_that_contradicts_itself_is_refused(tmp_path: Path) -> None:
    cells = [
        r.model_copy(update={"model": None}) for s in (1, 2) for r in table("mine", LEAKS, model=MODEL | {"steps": s})
    ]
    pack(tmp_path / "results", "mine", cells)
    (problem,) = build(tmp_path / "results", tmp_path / "site")
    assert "of one person, method and seed" in problem.message


def test_nobody_adds_seeds_to_a_control_of_the_maintainers(tmp_path: Path) -> None:
    pack(tmp_path / "results", "reference", table("none", LEAKS), kind="reference")
    low = {attack: [0.0] * 3 for attack in LEAKS}
    pack(tmp_path / "results", "mine", table("none", low, seed=1) + table("mine", low, seed=1))
    (group,) = built(tmp_path)["groups"]
    assert leaks(group, "clean")["lora", "none", "person-01"] == 1.0
    assert leaks(group, "mine 8/255")["lora", "none", "person-01"] == 0.0


def test_the_page_opens_on_what_the_maintainers_have_most_of(tmp_path: Path) -> None:
    many = {"lora": [0.5] * 20}
    pack(tmp_path / "results", "strange", table("mine", many, data="vast"), submitted="2026-11-25")
    pack(tmp_path / "results", "small", table("mine", LEAKS, data="small"), kind="reference", submitted="2026-02-02")
    more = {"lora": [0.5] * 5}
    pack(tmp_path / "results", "large", table("mine", more, data="large"), kind="reference", submitted="2025-01-01")
    names = [group["name"] for group in built(tmp_path)["groups"]]
    assert names == ["large · facelet-1", "small · facelet-1", "vast · facelet-1"]


@pytest.mark.parametrize("what", ["photos", "weights", "judge", "judges", "data", "base"])
def test_what_was_measured_otherwise_is_never_compared(tmp_path: Path, what: str) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS))
    pack(tmp_path / "results", "other", table("other", LEAKS, **{what: "another"}))
    assert [len(group["rows"]) for group in built(tmp_path)["groups"]] == [1, 1]


def test_settings_set_rows_apart(tmp_path: Path) -> None:
    more = table("mine", LEAKS, config={"steps": 5})
    pack(tmp_path / "results", "mine", table("mine", LEAKS) + more)
    (group,) = built(tmp_path)["groups"]
    assert len({row["id"] for row in group["rows"]}) == 2
    assert sorted(row["label"] for row in group["rows"]) == ["mine 8/255 (steps 100)", "mine 8/255 (steps 5)"]


def test_a_curve_is_of_rows_that_differ_in_the_budget_alone(tmp_path: Path) -> None:
    one, other = {"layers": [1]}, {"layers": [1, 2]}
    records = [
        record("mine", "a", 0.5, budget=budget, config=config) for budget in (8, 16) for config in (one, other)
    ] + [record("plain", "a", 0.5, budget=budget) for budget in (8, 16)]
    pack(tmp_path / "results", "mine", records)
    pack(tmp_path / "results", "yours", [record("plain", "a", 0.4, budget=4)])
    (group,) = built(tmp_path)["groups"]
    series = {(row["defense"], row["budget"], row["series"]) for row in group["rows"]}
    both = {("mine", b, f"mine (layers {layers})") for b in (8, 16) for layers in ("[1]", "[1, 2]")}
    entries = {("plain", 8, "mine"), ("plain", 16, "mine"), ("plain", 4, "yours")}
    assert series == both | {(name, budget, f"plain (by {entry})") for name, budget, entry in entries}
    alone = next(row for row in group["rows"] if row["budget"] == 4)
    assert alone["label"] == "plain 4/255"


def test_a_break_lowers_the_row_it_is_about(tmp_path: Path) -> None:
    pack(tmp_path / "results", "mine", table("mine", {"lora": [0.0, 0.0]}) + table("none", {"lora": [1.0, 1.0]}))
    broken = table("mine", {"lora": [1.0, 0.5]}, chain=["jpeg"])
    pack(tmp_path / "results", "breaker", broken, kind="break", amends="mine", title="JPEG is enough")
    (group,) = built(tmp_path)["groups"]
    row = next(row for row in group["rows"] if row["defense"] == "mine")
    assert (row["entry"], row["others"]) == ("mine", ["breaker"])
    assert leaks(group, "mine 8/255")["lora", "jpeg", "person-00"] == 1.0
    page = (tmp_path / "site" / "rows" / f"{group['id']}-{row['id']}.html").read_text()
    assert "broken, as they say, by</span> JPEG is enough" in page


def test_references_share_their_rows(tmp_path: Path) -> None:
    """What a later reference adds to a cloak stands beside what is known of it; the first one's numbers count."""
    first, second = {"lora": [0.5, 0.5]}, {"lora": [0.0, 0.0], "dreambooth": [0.25, 0.75]}
    pack(tmp_path / "results", "zzz", table("mine", first), kind="reference", submitted="2026-01-01")
    pack(tmp_path / "results", "aaa", table("mine", second), kind="reference", submitted="2026-02-01")
    pack(tmp_path / "results", "mine", table("mine", first))
    (group,) = built(tmp_path)["groups"]
    assert {row["label"] for row in group["rows"]} == {"mine 8/255 (by zzz)", "mine 8/255 (by mine)"}
    (row,) = [row for row in group["rows"] if row["entry"] == "zzz"]
    assert row["others"] == ["aaa"]
    assert "broken by" not in (tmp_path / "site" / "rows" / f"{group['id']}-{row['id']}.html").read_text()
    known = leaks(group, "mine 8/255 (by zzz)")
    assert {(attack, leak) for (attack, _, _), leak in known.items()} == {
        ("lora", 0.5),
        ("dreambooth", 0.25),
        ("dreambooth", 0.75),
    }


def test_a_bad_reference_owns_no_rows(tmp_path: Path) -> None:
    first = table("mine", LEAKS)
    pack(tmp_path / "results", "bad", [*first, first[-1]], kind="reference", submitted="2026-01-01")
    pack(tmp_path / "results", "good", first, kind="reference", submitted="2026-02-01")
    assert len(build(tmp_path / "results", tmp_path / "site")) == 1
    (group,) = page_data(tmp_path / "site")["groups"]
    assert [(row["label"], row["entry"]) for row in group["rows"]] == [("mine 8/255", "good")]


def test_rows_that_look_alike_say_whose_they_are(tmp_path: Path) -> None:
    """A later version's records have a setting that the earlier one's lack."""
    pack(tmp_path / "results", "old", table("mine", LEAKS))
    pack(tmp_path / "results", "new", table("mine", LEAKS, config={"steps": 100, "batch": 0}))
    (group,) = built(tmp_path)["groups"]
    assert sorted(row["label"] for row in group["rows"]) == ["mine 8/255 (by new)", "mine 8/255 (by old)"]


def test_a_correction_leaves_the_old_row_marked(tmp_path: Path) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS))
    pack(tmp_path / "results", "mine-again", table("mine", LEAKS), kind="correction", amends="mine")
    maintain(tmp_path / "results", **{"mine-again": "mine"})
    data = built(tmp_path)
    assert data["entries"]["mine"]["superseded_by"] == "mine-again"
    assert data["entries"]["mine-again"]["superseded_by"] is None
    assert len(data["groups"][0]["rows"]) == 2


@pytest.mark.parametrize(("kind", "shown"), [("reference", True), ("defense", False)])
def test_only_pictures_of_trusted_entries_are_shown(tmp_path: Path, kind: str, shown: bool) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS), pictures=True, kind=kind)
    built(tmp_path)
    site = tmp_path / "site"
    found = page_data(site, "pictures.js")
    assert bool(found) == (site / "images").exists() == shown
    assert all((site / facts["file"]).is_file() for facts in found.values())


def test_only_pictures_that_the_page_shows_are_copied(tmp_path: Path) -> None:
    """The same cells twice: those of the second entry do not count, so its pictures are not there either."""
    for name in ("one", "two"):
        pack(tmp_path / "results", name, table("none", LEAKS), pictures=True, kind="reference")
    built(tmp_path)
    assert [folder.name for folder in (tmp_path / "site" / "images").iterdir()] == ["one"]


def webp(tiles: int = 18, frames: int = 1, **metadata: Any) -> bytes:
    pictures = [Image.new("RGB", (32 * tiles, 32), (40, 9 * number, 40)) for number in range(frames)]
    pictures[0].save(buffer := io.BytesIO(), "WEBP", save_all=frames > 1, append_images=pictures[1:], **metadata)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (webp(frames=3), "is an animation of 3 frames"),
        (webp(exif=b"Exif\0\0MM\0*home"), "has metadata (exif)"),
        (webp(xmp=b"<x/>"), "has metadata (xmp)"),
        (webp(tiles=17), "is 544 x 32 pixels"),
        (webp()[:-40], "is no WebP picture"),
    ],
    ids=["animation", "exif", "xmp", "size", "cut"],
)
def test_a_picture_that_is_more_than_one_is_left_out_and_named(tmp_path: Path, data: bytes, said: str) -> None:
    folder = pack(tmp_path / "results", "mine", table("none", LEAKS), pictures=True, kind="reference")
    bad = sorted((folder / "images").iterdir())[0]
    bad.write_bytes(data)
    entry = json.loads((folder / "entry.json").read_text())
    entry["files"][f"images/{bad.name}"] = hashlib.sha256(data).hexdigest()
    (folder / "entry.json").write_text(json.dumps(entry))
    assert said in next(problem.message for problem in validate(folder).problems if bad.name in problem.file)
    (problem,) = build(tmp_path / "results", tmp_path / "site")
    assert (problem.file, said in problem.message) == (f"mine/images/{bad.name}", True)
    shown = page_data(tmp_path / "site", "pictures.js")
    assert {facts["file"] for facts in shown.values()} == {
        file.relative_to(tmp_path / "site").as_posix() for file in (tmp_path / "site" / "images").rglob("*.webp")
    }
    assert len(shown) == 5


def test_pictures_are_written_anew(tmp_path: Path) -> None:
    """What stands behind the picture in its file does not come to a reader; the picture does."""
    folder = pack(tmp_path / "results", "mine", table("none", LEAKS), pictures=True, kind="reference")
    entry = json.loads((folder / "entry.json").read_text())
    for file in (folder / "images").iterdir():
        file.write_bytes(file.read_bytes() + b"<script>alert(1)</script>")
        entry["files"][f"images/{file.name}"] = hashlib.sha256(file.read_bytes()).hexdigest()
    (folder / "entry.json").write_text(json.dumps(entry))
    built(tmp_path)
    for file in (folder / "images").iterdir():
        shown = tmp_path / "site" / "images" / "mine" / file.name
        assert b"script" not in shown.read_bytes()
        with Image.open(shown) as new, Image.open(file) as old:
            assert np.abs(np.asarray(new).astype(int) - np.asarray(old)).max() <= 3


def test_ids_are_too_long_for_anybody_to_find_two_that_are_one(tmp_path: Path) -> None:
    """The first two photos give boards of one id in 32 bits, and the keys rows of one id in 40: seconds to find."""
    boards = [Group({"photos": photos}).id for photos in ("41792", "55976")]
    rows = [Row((key,), "", False, "", record("mine", "p", 0.5)).id for key in ("824908", "2240707")]
    assert boards[0][:8] == boards[1][:8]
    assert rows[0][:10] == rows[1][:10]
    for ids in (boards, rows):
        assert ids[0] != ids[1]
        assert all(len(bytes.fromhex(each)) == 16 for each in ids)


def test_a_bad_entry_is_named_and_hides_nobody(tmp_path: Path) -> None:
    results = tmp_path / "results"
    pack(results, "good", table("good", LEAKS))
    bad = pack(results, "bad", table("bad", LEAKS))
    pack(results, "about-bad", table("bad", LEAKS, chain=["jpeg"]), kind="break", amends="bad")
    (bad / "records.jsonl.gz").write_bytes(b"no gzip")
    problems = build(results, tmp_path / "site")
    assert {problem.file.split("/")[0] for problem in problems} == {"bad", "about-bad"}
    assert list(page_data(tmp_path / "site")["entries"]) == ["good"]


def test_an_entry_whose_records_are_bad_counts_for_nothing(tmp_path: Path) -> None:
    """Found only while the records stream by: no row may be left of what was read before."""
    results = tmp_path / "results"
    pack(results, "good", table("good", LEAKS))
    twice = table("bad", LEAKS)
    pack(results, "bad", [*twice, twice[-1]])
    pack(results, "about-bad", table("bad", LEAKS, chain=["jpeg"]), kind="break", amends="bad")
    problems = build(results, tmp_path / "site")
    assert {problem.file.split("/")[0] for problem in problems} == {"bad", "about-bad"}
    (group,) = page_data(tmp_path / "site")["groups"]
    assert [row["label"] for row in group["rows"]] == ["good 8/255"]


def test_a_folder_that_is_no_site_is_left_alone(tmp_path: Path) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS))
    (tmp_path / "thesis").mkdir()
    (tmp_path / "thesis" / "chapter.tex").write_text("years of work")
    with pytest.raises(BenchError, match="is no site of ours"):
        build(tmp_path / "results", tmp_path / "thesis")
    assert (tmp_path / "thesis" / "chapter.tex").read_text() == "years of work"


def test_an_old_site_is_replaced_as_a_whole(tmp_path: Path) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS))
    built(tmp_path)
    (tmp_path / "site" / "rows" / "old.html").write_text("old")
    built(tmp_path)
    assert not (tmp_path / "site" / "rows" / "old.html").exists()
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def test_no_results_make_an_empty_board(tmp_path: Path) -> None:
    (tmp_path / "results").mkdir()
    assert built(tmp_path)["groups"] == []


@pytest.mark.parametrize(("docs", "links"), [("", 0), ("docs", 1)])
def test_pages_link_to_the_documentation_where_there_is_one(tmp_path: Path, docs: str, links: int) -> None:
    pack(tmp_path / "results", "mine", table("mine", LEAKS))
    build(tmp_path / "results", tmp_path / "site", docs)
    assert (tmp_path / "site" / "index.html").read_text().count('href="docs/index.html"') == links
    for row in (tmp_path / "site" / "rows").iterdir():
        assert row.read_text().count('href="../docs/index.html"') == links


def test_text_of_strangers_is_only_text(tmp_path: Path) -> None:
    evil = "</script><script>alert(1)</script><img src=x onerror=alert(1)>"
    records = table("mine", LEAKS, config={"note": evil, "__proto__": evil})
    records.append(record("mine", "x", None, reason=evil))
    card = {"mine": {"description": evil, "paper": evil}}
    facts: Any = {"title": evil, "description": evil, "authors": [evil], "licence": evil[:100], "command": evil}
    pack(tmp_path / "results", "mine", records, card=card, **facts)
    built(tmp_path)
    for page in (tmp_path / "site").rglob("*.html"):
        assert "<script>alert" not in page.read_text()
        assert "<img" not in page.read_text()
    assert "</script>" not in (tmp_path / "site" / "data.js").read_text()


def test_groups_do_not_depend_on_the_order_of_entries(tmp_path: Path) -> None:
    pack(tmp_path / "results", "aaa", table("mine", LEAKS))
    pack(tmp_path / "results", "bbb", table("other", LEAKS))
    opened, _ = open_all(tmp_path / "results")
    first, second = (groups(entries)[0] for entries in (opened, opened[::-1]))
    assert [sorted(g.rows) for g in first] == [sorted(g.rows) for g in second]


def test_the_board_of_most_people_is_shown_first(tmp_path: Path) -> None:
    pack(tmp_path / "results", "few", table("mine", {"lora": [0.1, 0.2]}, data="zeta"), submitted="2026-11-25")
    pack(tmp_path / "results", "many", table("mine", {"lora": [0.1, 0.2, 0.3]}, data="alpha"), submitted="2026-11-24")
    assert [group["facts"]["data"] for group in built(tmp_path)["groups"]] == ["alpha", "zeta"]


def test_real_people_of_the_latest_protocol_that_the_maintainers_ran_come_first(tmp_path: Path) -> None:
    """However many more there are of invented people, or of an older protocol, or of a stranger's protocol."""
    results = tmp_path / "results"
    boards = {("synthetic", "1"): 9, ("faces", "1"): 8, ("synthetic", "2"): 6, ("faces", "2"): 3, ("other", "2"): 2}
    for (data, protocol), people in boards.items():
        records = table("mine", {"lora": [0.5] * people}, data=data)
        pack(results, f"{data}-{protocol}", records, kind="reference", protocol=protocol)
    pack(results, "evil", table("mine", {"lora": [0.5] * 20}, data="evil"), protocol="3")
    found = [(group["facts"]["data"], group["facts"]["version"]) for group in built(tmp_path)["groups"]]
    assert found[0] == ("faces", "2")
    assert found.index(("synthetic", "2")) < found.index(("synthetic", "1"))
    assert found[-1] == ("evil", "3")


def test_of_boards_with_as_many_people_that_of_most_rows_is_shown_first(tmp_path: Path) -> None:
    one, other = (table(name, {"lora": [0.1, 0.2]}) for name in ("mine", "yours"))
    pack(tmp_path / "results", "full", one + other)
    pack(tmp_path / "results", "transfer", table("mine", {"lora": [0.1, 0.2]}, base="zeta"))
    assert [len(group["rows"]) for group in built(tmp_path)["groups"]] == [2, 1]


def test_the_reference_results_are_valid_and_make_the_board(tmp_path: Path) -> None:
    """They are in the repository, and a change of the code must not leave them behind."""
    entries = sorted(path for path in (ROOT / "results").iterdir() if path.is_dir())
    assert [problem for entry in entries for problem in validate(entry).problems] == []
    assert build(ROOT / "results", tmp_path / "site") == []
    found = page_data(tmp_path / "site")["groups"]
    assert {group["facts"]["data"] for group in found} >= {"celebahq_mini", "vggface2_mini"}
    for group in found:
        labels = [row["label"] for row in group["rows"]]
        assert any(label.startswith("dladiff 16/255") for label in labels)
        assert {"base", "clean", "noise 16/255"} <= set(labels)
        assert not any("(by " in label for label in labels), "a record without a newer setting is in a row of its own"
