"""From a run to an entry: what is packed, what keeps it out, and that no real person's picture leaves."""

from __future__ import annotations

import io
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from rich.console import Console

from bench.core.errors import BenchError
from bench.core.images import resize
from bench.core.types import Pixels
from bench.data.photo_reader import read_image
from bench.data.synthetic import ROOT as SYNTHETIC
from bench.results import manifest
from bench.results.manifest import Planned
from bench.results.record import MethodFacts, Record, load_all, save
from bench.results.standard import BASES
from defenses import DEFENSES
from leaderboard.__main__ import main
from leaderboard.entries.reader import open_all
from leaderboard.entries.sprites import GROUPS, Sprite, difference, draw
from leaderboard.review.entry_checks import Findings
from leaderboard.review.validate import validate, validate_all
from leaderboard.site.build import build
from leaderboard.submission.method_cards import cards
from leaderboard.submission.submit import Wishes, submit
from tests.support.contexts import ROOT
from tests.support.entries import (
    PROVENANCE,
    grid,
    invented,
    lines,
    made,
    maintain,
    stored_run,
    tree,
    write_entry,
    zipped,
)

PEOPLE = [f"p{i}" for i in range(6)]


def run_of(folder: Path, records: Sequence[Record]) -> Path:
    """A run's folder without a store."""
    for record in records:
        save(record, folder / "My run" / "cells")
    return folder / "My run"


def submitted(run: Path, results: Path, **wishes: Any) -> tuple[int, str]:
    """Exit status and what was printed."""
    facts = wishes.pop("facts", {})
    text = io.StringIO()
    status = submit(Wishes(run, results, facts, **wishes), Console(file=text, width=300))
    return status, text.getvalue()


# --- packing --------------------------------------------------------------------------------------------------------


def test_a_run_alone_is_enough(tmp_path: Path) -> None:
    records = grid(PEOPLE)
    run = run_of(tmp_path, records)
    (run / "cells" / "._0.json").write_bytes(b"\0\xff")  # a Mac's, on a disk that is not its own
    assert len(load_all(run)) == len(records)
    status, text = submitted(run, tmp_path / "results")
    assert status == 0
    (result,), problems = open_all(tmp_path / "results")
    assert problems == []
    assert list(result.records()) == sorted(records, key=lambda r: r.cell)
    entry = result.entry
    assert (entry.id, entry.kind, entry.protocol) == ("my-run", "defense", "2")
    assert entry.title == "aspl against lora on facelet-1"
    assert entry.paper == "https://arxiv.org/abs/2303.15433"
    assert entry.card["aspl"].description.startswith("Anti-DreamBooth (ASPL)")
    assert set(entry.card) == {"aspl", "noise", "lora"}
    assert "Packed 24 cells (24 ok)" in text
    assert "pull request" in text
    assert "warning" not in text


def test_packing_again_changes_nothing(tmp_path: Path) -> None:
    run = run_of(tmp_path, grid())
    submitted(run, tmp_path / "results")
    before = tree(tmp_path / "results")
    status, text = submitted(run, tmp_path / "results")
    assert (status, tree(tmp_path / "results")) == (0, before)
    assert "Packed already" in text
    submitted(run, tmp_path / "elsewhere")
    assert tree(tmp_path / "elsewhere") == before, "equal runs make equal bytes"
    assert before["my-run/records.jsonl.gz"][4:8] == bytes(4), "whenever they are packed"


def test_another_entry_is_replaced_when_asked_and_not_before(tmp_path: Path) -> None:
    results = tmp_path / "results"
    submitted(run_of(tmp_path, grid()), results)
    before = tree(results)
    for facts, run in (({"title": "Other"}, tmp_path), ({}, tmp_path / "later")):
        changed = run_of(run, grid(leaks=1 if run != tmp_path else 2))
        with pytest.raises(BenchError, match="another entry already"):
            submitted(changed, results, facts=facts)
        assert tree(results) == before
    assert submitted(tmp_path / "later" / "My run", results, replace=True)[0] == 0
    assert tree(results) != before
    assert [path.name for path in results.iterdir()] == ["my-run"], "nothing is left of the old one"
    zipped(results / "my-run")
    with pytest.raises(BenchError, match="zip is there already"):
        submitted(tmp_path / "My run", results, replace=True)


def test_facts_are_taken_and_checked(tmp_path: Path) -> None:
    results = tmp_path / "results"
    write_entry(results, "theirs")
    run = run_of(tmp_path, grid())
    facts = {
        "id": "broken",
        "amends": "theirs",
        "authors": ["Ada", "Bob"],
        "code": "https://x.org",
        "command": "python",
    }
    assert submitted(run, results, facts=facts)[0] == 0
    (entry,) = [r.entry for r in open_all(results)[0] if r.entry.id == "broken"]
    assert (entry.kind, entry.amends, entry.authors, entry.command) == ("break", "theirs", ("Ada", "Bob"), "python")
    before = tree(results)
    for bad, said in (
        ({"id": "../x"}, "entry.json: id: "),
        ({"kind": "best"}, "kind"),
        ({"code": "x.org"}, "code"),
        ({"amends": "thirs"}, "Did you mean 'theirs'"),
    ):
        with pytest.raises(BenchError, match=said):
            submitted(run, results, facts=bad)
        assert tree(results) == before
        assert not (tmp_path / "x").exists()


@pytest.mark.parametrize(
    ("folder", "name"),
    [
        ("r1", "r1"),
        ("7", "7"),
        ("My Run (2)", "my-run-2"),
        ("2026-01-31.v1.0", "2026-01-31-v1-0"),
        ("Zoë_Straße", "zoe-strasse"),
        ("試験", "run"),
        ("--", "run"),
        ("x" * 59 + " y" * 70, "x" * 59),
    ],
)
def test_id_is_made_of_the_runs_name(tmp_path: Path, folder: str, name: str) -> None:
    run = run_of(tmp_path, grid()).rename(tmp_path / folder)
    assert submitted(run, tmp_path / "results")[0] == 0
    assert [path.name for path in (tmp_path / "results").iterdir()] == [name]
    assert build(tmp_path / "results", tmp_path / "site") == []


def test_of_an_unfinished_run_cloaks_wait_for_their_controls(tmp_path: Path) -> None:
    """What is done can be published at any time; a finished run without controls stays refused."""
    records, late = grid(), ("p02", "noise", "lora")
    there = [r for r in records if (r.identity, r.defense.name, r.attack.name) != late]
    run = run_of(tmp_path, there)
    assert submitted(run, tmp_path / "refused")[0] == 1
    plan = [Planned(cell=r.cell, identity=r.identity, label="", keys={}) for r in records]
    manifest.save(run, [], {}, tmp_path / "store", plan)
    status, said = submitted(run, tmp_path / "results")
    assert status == 0, said
    cloaks = [r for r in there if (r.identity, r.attack.name) == ("p02", "lora") and r.defense.name == "aspl"]
    assert f"1 cells of its plan are still to come. {len(cloaks)} cells are left out" in said
    (result,) = open_all(tmp_path / "results")[0]
    assert {r.cell for r in result.records()} == {r.cell for r in there} - {r.cell for r in cloaks}

    save(records[next(i for i, r in enumerate(records) if r not in there)], run / "cells")
    status, said = submitted(run, tmp_path / "whole")
    assert (status, "not finished" in said) == (0, False)


def test_what_is_refused_leaves_nothing_behind(tmp_path: Path) -> None:
    run, out = run_of(tmp_path, grid()), tmp_path / "not" / "there"
    (tmp_path / "file").touch()
    before = sorted(tmp_path.iterdir())
    for results, facts, said in (
        (out, {"id": "My Run"}, "lower-case letters .*'My Run'.\nFor instance: --id my-run"),
        (out, {"id": ""}, "For instance: --id run"),
        (out, {"kind": "correction"}, "give that entry's id"),
        (out, {"kind": "break", "amends": "theirs"}, "Unknown entry 'theirs'"),
        (out, {"title": "x" * 151}, "title"),
        (tmp_path / "file", {}, "is a file"),
    ):
        with pytest.raises(BenchError, match=said):
            submitted(run, results, facts=facts)
        assert sorted(tmp_path.iterdir()) == before
    status, text = submitted(run_of(tmp_path / "bad", but(grid(), CLOAK, metrics={"ilr": 0.0})), out)
    assert (status, "Nothing was written" in text) == (1, True)
    assert not out.parent.exists()


def test_places_may_be_relative(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of(tmp_path, grid())
    monkeypatch.chdir(run)
    assert main(["submit", ".", "--out", "../results/"]) == 0
    monkeypatch.chdir(tmp_path / "results")
    assert main(["validate", "my-run/"]) == 0
    for _ in range(2):  # the site that is there is no entry
        assert main(["build", "."]) == 0
    assert main(["compare", ".", "my-run/"]) == 0
    assert sorted(path.name for path in Path.cwd().iterdir()) == ["my-run", "site"]
    (tmp_path / "link").symlink_to("results/site")
    assert main(["build", ".", "-o", "../link"]) == 0
    assert (tmp_path / "link").is_symlink()


@pytest.mark.parametrize("path", ["/home/ada lovelace/models", "~/models", "/data/ada", r"C:\Users\ada\models"])
def test_folders_of_a_machine_are_not_published(path: str, tmp_path: Path) -> None:
    attack = MethodFacts(name="lora", config={"weights": path})
    records = [r.model_copy(update={"attack": attack}) if r.attack.name != "none" else r for r in grid()]
    with pytest.raises(BenchError, match=r"attack\.config\.weights") as caught:
        submitted(run_of(tmp_path, records), tmp_path / "results")
    assert "ada" not in caught.value.message
    assert not (tmp_path / "results").exists()


def test_nor_are_they_in_what_is_said_of_a_run(tmp_path: Path) -> None:
    facts = {"command": "python -m bench data=folder data.root=/home/ada/photos"}
    with pytest.raises(BenchError, match="published: command"):
        submitted(run_of(tmp_path, grid(PEOPLE)), tmp_path / "results", facts=facts)


def test_real_people_are_named_only_if_the_submitter_says_so(tmp_path: Path) -> None:
    people = ["Ada Lovelace", "p0123456789ab", "104", "n000061", "Zoë", "07"]
    records = [r.model_copy(update={"data": "photos"}) for r in grid(people)]
    run = run_of(tmp_path, records)
    with pytest.raises(BenchError, match="2 people") as caught:
        submitted(run, tmp_path / "results")
    assert "Ada" not in str(caught.value)
    assert submitted(run, tmp_path / "results", own_names=True)[0] == 0


def test_plugin_of_a_file_gets_its_card(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DEFENSES, "_registered", dict(DEFENSES._registered))  # other tests must not meet it
    plugin = tmp_path / "my_cloak.py"
    plugin.write_text(
        "from dataclasses import dataclass\nfrom defenses import DEFENSES, Defense\n"
        '@DEFENSES.register("mine_of_the_submit_test")\n@dataclass(frozen=True)\nclass Mine(Defense):\n'
        '    """My cloak: does little."""\n    def protect(self, photos, context):\n        return photos\n'
    )
    records = [r if r.defense.name != "aspl" else made(r.identity, "mine_of_the_submit_test", 8) for r in grid()]
    run = run_of(tmp_path, records)
    assert "mine_of_the_submit_test has no card" in submitted(run, tmp_path / "results")[1]
    _, text = submitted(run, tmp_path / "results", plugins=[str(plugin)], replace=True)
    assert "has no card" not in text
    entry = open_all(tmp_path / "results")[0][0].entry
    assert entry.card["mine_of_the_submit_test"].description == "My cloak: does little."
    assert entry.card["mine_of_the_submit_test"].evaluations is None


def test_cards_say_what_a_defense_takes_with_its_published_settings() -> None:
    """As the guide has it: `bench.list` says the same."""
    found, _ = cards([made("p01", name, 8) for name in ("aspl", "dladiff", "noise")], [])
    assert {name: card.evaluations for name, card in found.items()} == {
        "aspl": 450,
        "dladiff": 1000,
        "noise": None,
        "lora": None,
    }


def test_folder_without_records_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="holds no records"):
        submitted(tmp_path, tmp_path / "results")


def test_bad_record_of_a_run_is_named(tmp_path: Path) -> None:
    run = run_of(tmp_path, grid())
    file = next((run / "cells").iterdir())
    file.write_text(file.read_text().replace('"ilr": 0.5', '"ilr": NaN').replace('"seed": 0', '"seed": NaN'))
    with pytest.raises(BenchError, match=f"My run/cells/{file.name}"):
        submitted(run, tmp_path / "results")
    assert not (tmp_path / "results").exists()


# --- what an entry must hold ----------------------------------------------------------------------------------------


def found(tmp_path: Path, records: Sequence[Record], **facts: Any) -> Findings:
    """What `submit` and `validate` find, which is the same."""
    findings = validate(write_entry(tmp_path / "given", records=lines(records), **facts))
    status, text = submitted(run_of(tmp_path, records), tmp_path / "results", facts={"id": "mine"} | facts)
    assert status == (1 if findings.problems else 0)
    assert (tmp_path / "results" / "mine").exists() == (not findings.problems)
    for problem in findings.problems:
        assert problem.message in text
    return findings


def but(records: Sequence[Record], at: int, **changes: Any) -> list[Record]:
    """The records with one changed; metrics, thresholds and provenance are updated, not replaced."""
    facts = records[at].model_dump()
    for name, value in changes.items():
        facts[name] = {**facts[name], **value} if isinstance(value, dict) and facts[name] else value
    return [*records[:at], Record.model_validate(facts), *records[at + 1 :]]


def test_good_grid_has_no_problem(tmp_path: Path) -> None:
    assert found(tmp_path, grid(PEOPLE)) == Findings(statuses=found(tmp_path / "again", grid(PEOPLE)).statuses)


CLOAK = 3
"""Where the first person's cloak is in `grid()`."""


@pytest.mark.parametrize(
    ("changes", "field", "said"),
    [
        ({"metrics": {"linf": 9.0}}, "metrics.linf", "9 grey levels, and the budget of aspl is 8"),
        ({"metrics": {"linf": None}, "unavailable": {"linf": "secret"}}, "metrics.linf", "is missing"),
        ({"metrics": {"ilr": 0.0}}, "metrics.ilr", "pictures give 0.25"),
        ({"metrics": {"ism_zero": 0.3}}, "metrics.ism_zero", "pictures give 0.375"),
        ({"metrics": {"fdfr": 0.5}}, "metrics.fdfr", "pictures give 0.0"),
        ({"metrics": {"ism_detected": None}, "unavailable": {"ism_detected": "few"}}, "metrics.ism_detected", "0.375"),
        ({"metrics": {"psnr": 300.0}}, "metrics.psnr", "between 0 and 100"),
        ({"metrics": {"lpips": None}}, "metrics.lpips", "does not say why"),
        ({"thresholds": {"ilr.mobilefacenet": 0.8}}, "thresholds.ilr.mobilefacenet", "between 0.000 and 0.506"),
        ({"thresholds": {"ilr.faceres": 0.2}}, "thresholds.ilr.faceres", "does not belong to ilr_matched"),
        ({"images": []}, "images", "has pictures"),
        ({"defense": {"name": "aspl", "budget": 400.0}}, "defense.budget", "at least 0 and at most 255"),
        ({"defense": {"name": "aspl", "budget": 0.03}}, "defense.budget", "give 7.65, or 8"),
        ({"provenance": {"data": {"licence": "unknown"}}}, "provenance.data.licence", "data.licence="),
        ({"provenance": {"data": None}}, "provenance.data.licence", "data.licence="),
        ({"provenance": {"protocol": {"far": 0.1}}}, "provenance.protocol", "2 protocols"),
        ({"provenance": {"protocol": None}}, "provenance.protocol", "is missing"),
        ({"status": "failed"}, "reason", "nothing says why"),
    ],
)
def test_record_that_cannot_be_right_keeps_the_entry_out(
    tmp_path: Path, changes: dict[str, Any], field: str, said: str
) -> None:
    problems = found(tmp_path, but(grid(), CLOAK, **changes)).problems
    assert any(problem.field == field and said in problem.message for problem in problems), problems


@pytest.mark.parametrize(
    ("missing", "said"),
    [
        ({"defense": "none", "identity": "p01"}, "'none' against lora is missing (or not ok) for p01, seed 0"),
        ({"defense": "noise", "identity": "p02"}, "'noise' at budget 8 against lora is missing (or not ok) for p02"),
    ],
)
def test_controls_are_needed_for_every_person(tmp_path: Path, missing: dict[str, str], said: str) -> None:
    records = grid()
    at = next(
        i
        for i, r in enumerate(records)
        if (r.defense.name, r.identity, r.attack.name) == (missing["defense"], missing["identity"], "lora")
    )
    (problem,) = found(tmp_path, records[:at] + records[at + 1 :]).problems
    assert said in problem.message
    (problem,) = found(tmp_path / "failed", but(records, at, status="failed", reason="no memory")).problems
    assert said in problem.message


@pytest.mark.parametrize(
    "cloak",
    [
        made("p01", "aspl", 16),
        made("p01", "aspl", 8, seed=1),
        made("p01", "aspl", 8, attack="dreambooth"),
        made("p01", "aspl", 8, base="sd15"),
        made("p01", "aspl", 8, chain=["jpeg"]),
        made("p01", "aspl", 8, chain=["blur", "jpeg"]),
        made("p03", "aspl", 8),
    ],
    ids=["budget", "seed", "attack", "base", "countermeasure", "chain", "person"],
)
def test_controls_are_needed_in_every_setting(tmp_path: Path, cloak: Record) -> None:
    messages = [problem.message for problem in found(tmp_path, [*grid(), cloak]).problems]
    assert any("'noise' at budget" in message for message in messages)


def test_controls_of_other_data_do_not_count(tmp_path: Path) -> None:
    other = PROVENANCE | {"data": {"fingerprint": "0" * 64, "licence": "made up"}}
    messages = [p.message for p in found(tmp_path, but(grid(), CLOAK, provenance=other)).problems]
    assert len(messages) == 2


def test_photos_of_another_person_are_no_control(tmp_path: Path) -> None:
    records = grid()
    messages = [p.message for p in found(tmp_path, but(records, 1, photos_of="p02")).problems]
    assert [m for m in messages if "'none' against lora" in m]


def test_an_entry_without_ok_cells_says_so(tmp_path: Path) -> None:
    failed = [Record.model_validate(r.model_dump() | {"status": "failed", "reason": "x"}) for r in grid()]
    (problem,) = found(tmp_path, failed).problems
    assert problem.field == "status"


def test_what_kinds_must_hold(tmp_path: Path) -> None:
    controls = [r for r in grid(PEOPLE) if r.defense.name != "aspl"]
    (problem,) = found(tmp_path / "defense", controls).problems
    assert "only controls" in problem.message
    assert found(tmp_path / "reference", controls, kind="reference").problems == []
    bases = [r for r in grid() if r.attack.name == "none"]
    broken = validate(write_entry(tmp_path, records=bases, kind="break", amends="theirs"))
    assert [p.field for p in broken.problems] == ["attack"]
    assert validate(write_entry(tmp_path, "good", kind="break", amends="theirs")).problems == []


@pytest.mark.parametrize(
    ("records", "said"),
    [
        (grid(PEOPLE[:5]), "5 people: no test"),
        (
            [made(p, d, b, leaks=3) for p in PEOPLE for d, b in (("none", 0), ("noise", 8))],
            "leaks only 0.38 on clean photos",
        ),
        (grid(PEOPLE, leaks=5), "noise protects as well as aspl 8/255 against lora on facelet-1"),
        (grid(PEOPLE, leaks=6, chain=["blur", "jpeg"]), "against lora after blur+jpeg on facelet-1"),
    ],
)
def test_what_numbers_cannot_show_is_a_warning(tmp_path: Path, records: Sequence[Record], said: str) -> None:
    findings = found(tmp_path, records, kind="reference")
    assert any(said in warning for warning in findings.warnings), findings.warnings


def test_many_problems_are_told_briefly(tmp_path: Path) -> None:
    records = [made(f"p{i}", "aspl", 8, leaks=2, metrics=made(leaks=4).metrics) for i in range(40)]
    assert len(validate(write_entry(tmp_path, records=records)).problems) == 20


def test_warnings_repeat_little_of_what_strangers_wrote(tmp_path: Path) -> None:
    arms = [(f"{'x' * 180}{i}", defense, budget) for i in range(30) for defense, budget in (("none", 0), ("noise", 8))]
    records = [made("p01", defense, budget, attack, leaks=1) for attack, defense, budget in arms]
    warnings = validate(write_entry(tmp_path, records=records, kind="reference")).warnings
    assert len(warnings) == 20
    assert "xxx" in warnings[1]
    assert all(len(w) < 400 and w.isprintable() for w in warnings)


def test_validate_prints_a_line_each_and_fails_if_one_is_bad(tmp_path: Path) -> None:
    good, bad = write_entry(tmp_path, "good"), write_entry(tmp_path, "bad", title="")
    text = io.StringIO()
    assert validate_all([good, bad], Console(file=text, width=200)) == 1
    assert "pass  good  8 cells (8 ok)" in text.getvalue()
    assert "problem: bad/entry.json: title: " in text.getvalue()
    assert validate_all([good], Console(file=text, width=200)) == 0
    assert main(["validate", str(good)]) == 0
    assert main(["validate", str(bad)]) == 1


def test_old_protocols_and_references_are_pointed_out(tmp_path: Path) -> None:
    assert "protocol 0.9" in validate(write_entry(tmp_path, "old", protocol="0.9")).warnings[-1]
    (tmp_path / "packed").mkdir()
    ours = write_entry(tmp_path / "results", "ours", kind="reference").rename(tmp_path / "packed" / "ours")
    assert "only if the maintainers list it" in validate(ours).warnings[-1], "no list lies beside it"


# --- pictures -------------------------------------------------------------------------------------------------------


def tiles(sprite: Sprite, data: bytes) -> dict[str, list[Pixels]]:
    row = np.asarray(Image.open(io.BytesIO(data)).convert("RGB"))
    cut = [row[:, i * sprite.tile : (i + 1) * sprite.tile] for i in range(sprite.count)]
    return {name: cut[start : start + count] for name, (start, count) in sprite.groups.items()}


def close(left: Pixels, right: Pixels, levels: float = 12) -> bool:
    """Whether two pictures are the same but for lossy compression."""
    return float(np.abs(left.astype(float) - right.astype(float)).mean()) < levels


def test_pictures_are_the_runs_own_in_their_order(tmp_path: Path) -> None:
    clean = invented()[:3]
    records = grid(["p01"])
    run, store = stored_run(tmp_path, records, clean)
    status, text = submitted(run, tmp_path / "results", store=store, facts={"kind": "reference"})
    assert status == 0
    assert f"lists my-run in {tmp_path}/results/maintained.json; until then it is no reference" in text
    maintain(tmp_path / "results", "my-run")
    (result,), problems = open_all(tmp_path / "results")
    assert problems == []
    assert set(result.sprites()) == {r.cell for r in records}
    noise = next(r for r in load_all(run) if r.defense.name == "noise")
    sprite = result.sprites()[noise.cell]
    assert sprite.tile == len(clean[0])
    assert sprite.groups == {
        "clean": (0, 3),
        "cloaked": (3, 3),
        "difference": (6, 3),
        "countered": (9, 3),
        "generated": (12, 16),
    }
    shown = tiles(sprite, result.sprite_bytes(noise.cell))
    for i, photo in enumerate(clean):
        assert close(shown["clean"][i], photo)
        assert close(shown["cloaked"][i], photo, 16)
        assert not close(shown["countered"][i], photo, 16)
        assert shown["difference"][i].astype(float).std() > 20, "what is hardly seen is made visible"


def test_difference_is_amplified_around_grey() -> None:
    clean = np.full((2, 2, 3), 100, np.uint8)
    cloaked = clean.copy()
    cloaked[0, 0], cloaked[0, 1], cloaked[1, 0] = 108, 97, 200
    assert difference(clean, cloaked)[..., 0].tolist() == [[192, 104], [255, 128]]
    assert difference(cloaked, clean)[..., 0].tolist() == [[64, 152], [0, 128]]


def test_sprites_are_small_and_in_a_fixed_order() -> None:
    large = [np.full((300, 300, 3), 10 * i, np.uint8) for i in range(6)]
    sprite, data = draw("a" * 64, {"generated": large[:4], "clean": large[4:]})
    assert list(sprite.groups) == [name for name in GROUPS if name in ("clean", "generated")]
    assert sprite.tile == 256
    assert Image.open(io.BytesIO(data)).size == (6 * 256, 256)
    assert close(tiles(sprite, data)["clean"][0], np.full((256, 256, 3), 40, np.uint8), 3)
    many, data = draw("a" * 64, {"generated": [large[0]] * 200})
    assert many.tile == 16383 // 200, "a WebP file has an end"


def test_at_most_four_photos_are_shown(tmp_path: Path) -> None:
    photos = [read_image(SYNTHETIC / "p01" / part / f"0{i}.png") for part in ("set_A", "set_B") for i in range(3)]
    run, store = stored_run(tmp_path, grid(["p01"]), [np.asarray(photo) for photo in photos])
    submitted(run, tmp_path / "results", store=store)
    (result,), _ = open_all(tmp_path / "results")
    assert {sprite.groups["clean"] for sprite in result.pictures.values()} == {(0, 4)}


def test_invented_people_are_known_at_other_sizes(tmp_path: Path) -> None:
    photos = [resize(read_image(SYNTHETIC / "p01" / "set_B" / f"0{i}.png"), 96) for i in range(2)]
    run, store = stored_run(tmp_path, grid(["p01"]), photos)
    assert submitted(run, tmp_path / "results", store=store)[0] == 0


def real(one: bool) -> list[Pixels]:
    """Photos under an invented name, all or one of which came from elsewhere: by a single pixel, to be hard."""
    photos = [photo.copy() for photo in invented()[:3]]
    for photo in photos[: 1 if one else 3]:
        photo[0, 0] ^= 1
    return photos


@pytest.mark.parametrize("one", [True, False])
def test_no_real_persons_picture_leaves_whatever_the_name(tmp_path: Path, one: bool) -> None:
    run, store = stored_run(tmp_path, grid(["p01"]), real(one))
    with pytest.raises(BenchError, match="never leave this computer"):
        submitted(run, tmp_path / "results", store=store)
    assert not (tmp_path / "results").exists()
    assert submitted(run, tmp_path / "results")[0] == 0, "numbers may go"
    assert not any(name.endswith(".webp") for name in tree(tmp_path / "results"))


def test_no_picture_of_other_data_leaves(tmp_path: Path) -> None:
    run, store = stored_run(tmp_path, grid(["p01"], data="celebahq"), invented()[:2])
    with pytest.raises(BenchError, match="p01 of celebahq is not one of the invented people"):
        submitted(run, tmp_path / "results", store=store)


def test_pictures_of_another_run_are_noticed(tmp_path: Path) -> None:
    run, store = stored_run(tmp_path, grid(["p01"]), invented()[:2])
    other, _ = stored_run(tmp_path / "other", grid(["p01"]), invented()[:2], seed=1)
    with pytest.raises(BenchError, match="other pictures than those of the record"):
        submitted(other, tmp_path / "results", store=store)
    larger = [
        r if r.defense.name != "aspl" else r.model_copy(update={"metrics": r.metrics | {"linf": 7.0}})
        for r in load_all(run)
    ]
    with pytest.raises(BenchError, match="other pictures than those of the record"):
        submitted(run_of(tmp_path / "larger", larger), tmp_path / "results", store=store)


def test_pictures_the_store_lost_are_counted(tmp_path: Path) -> None:
    run, store = stored_run(tmp_path, grid(["p01"]), invented()[:2])
    key = next(r for r in load_all(run) if r.defense.name == "aspl").stages["generate"].key
    (store / "generate" / key[:2] / key / "000.png").write_bytes(b"damaged")
    _, text = submitted(run, tmp_path / "results", store=store)
    assert "1 cells have no pictures" in text
    with pytest.raises(BenchError, match="no store"):
        submitted(run, tmp_path / "results", store=tmp_path / "nowhere")
    assert not (tmp_path / "nowhere").exists()


# --- the command ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("command", ["build", "submit", "validate", "compare", "verify"])
def test_help_has_an_example(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as exit_:
        main([command, "--help"])
    assert exit_.value.code == 0
    assert f"example: python -m leaderboard {command} " in capsys.readouterr().out


def test_only_cards_need_methods_and_nothing_needs_torch() -> None:
    code = (
        "import sys, leaderboard.__main__\n"
        "assert not {'numpy', 'pydantic', 'rich'} & set(sys.modules), 'help is fast'\n"
        "import leaderboard.submission.submit, leaderboard.review.verify, leaderboard.review.validate\n"
        "assert not {'torch', 'defenses', 'attacks', 'bench.models.faces'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, cwd=ROOT)


def test_command_packs_and_ends_errors_without_a_traceback(tmp_path: Path) -> None:
    run = run_of(tmp_path, grid())
    command = ["submit", str(run), "-o", str(tmp_path / "results"), "--authors", "Ada", "Bob", "--id", "by-hand"]
    assert main(command) == 0
    assert open_all(tmp_path / "results")[0][0].entry.authors == ("Ada", "Bob")
    shell = [sys.executable, "-m", "leaderboard", "submit", str(tmp_path / "nowhere")]
    ended = subprocess.run(shell, capture_output=True, text=True, cwd=ROOT)
    assert ended.returncode == 1
    assert "holds no records" in ended.stderr
    assert "Traceback" not in ended.stderr


def test_what_departs_from_the_protocol_is_told_that_it_stands_apart(tmp_path: Path) -> None:
    model = {"name": "facelet-1", "revision": None} | BASES["facelet-1"]
    for steps, told in ((10, False), (2, True)):
        root = tmp_path / str(steps)
        write_entry(root, records=grid(PEOPLE, model=model | {"steps": steps}))
        assert (
            any("steps 2: such results get a board of their own" in said for said in validate(root / "mine").warnings)
            is told
        )


def test_controls_made_otherwise_are_no_controls(tmp_path: Path) -> None:
    model = {"name": "facelet-1", "revision": None} | BASES["facelet-1"]
    cloaks = [made(p, "aspl", 8, model=model | {"steps": 2}, seed=0) for p in PEOPLE]
    controls = [r for r in grid(PEOPLE, model=model) if r.defense.name != "aspl"]
    write_entry(tmp_path, records=cloaks + controls)
    assert any("the control 'none'" in str(problem) for problem in validate(tmp_path / "mine").problems)
