"""What an entry says of itself makes it neither a reference nor a correction of somebody else's."""

from __future__ import annotations

import datetime
import json
from pathlib import Path

import pytest

from leaderboard.entries.maintained import MAINTAINED
from leaderboard.entries.reader import START, open_all
from leaderboard.review.validate import validate
from leaderboard.site.build import build
from tests.support.boards import pack, table
from tests.support.contexts import ROOT
from tests.support.entries import maintain, write_entry

LEAKS = {"lora": [0.5, 0.5]}


def superseded(root: Path) -> dict[str, str | None]:
    """Entry -> what supersedes it, as the page is told."""
    assert build(root, root.parent / "site") == []
    text = (root.parent / "site" / "data.js").read_text()
    page = json.loads(json.loads(text[text.index("(") + 1 : text.rindex(")")]))
    return {name: facts["superseded_by"] for name, facts in page["entries"].items()}


def test_a_strangers_reference_is_refused(tmp_path: Path) -> None:
    ours = write_entry(tmp_path, "ours", kind="reference")
    theirs = write_entry(tmp_path, "theirs", kind="reference")
    (tmp_path / MAINTAINED).write_text(json.dumps({"references": ["ours"]}))
    found, problems = open_all(tmp_path)
    assert [(r.entry.id, r.trusted) for r in found] == [("ours", True)]
    assert [(p.file, p.field) for p in problems] == [("theirs/entry.json", "kind")]
    assert validate(ours).problems == []
    assert validate(theirs).problems == problems


def test_an_id_of_the_list_makes_no_other_kind_a_reference(tmp_path: Path) -> None:
    write_entry(tmp_path, "ours")
    maintain(tmp_path, "ours")
    (ours,), _ = open_all(tmp_path)
    assert not ours.trusted


def test_a_correction_supersedes_what_the_maintainers_agreed_to_and_nothing_else(tmp_path: Path) -> None:
    """Names of authors prove nothing: anybody may write them."""
    root = tmp_path / "results"
    pack(root, "ours", table("aspl", LEAKS), kind="reference", authors=["The maintainers"])
    pack(root, "mine", table("mine", LEAKS), authors=["Ada"])
    pack(root, "again", table("mine", LEAKS), kind="correction", amends="mine", authors=["Ada"])
    pack(root, "theft", table("aspl", LEAKS), kind="correction", amends="ours", authors=["The maintainers"])
    nothing = dict.fromkeys(("ours", "mine", "again", "theft"))
    assert superseded(root) == nothing
    maintain(root, again="ours", theft="mine")
    assert superseded(root) == nothing, "a correction that was agreed to, and is about another entry since"
    maintain(root, again="mine")
    assert superseded(root) == nothing | {"mine": "again"}


@pytest.mark.parametrize("days", [-1, 400_000])
def test_a_date_on_which_nobody_submitted_is_refused(tmp_path: Path, days: int) -> None:
    """Of two entries that claim one place the first counts; the newest are at the top of the page."""
    day = START + datetime.timedelta(days=days)
    entry = write_entry(tmp_path, submitted=day.isoformat())
    (problem,) = validate(entry).problems
    assert (problem.file, problem.field) == ("mine/entry.json", "submitted")
    assert open_all(tmp_path) == ([], [problem])


def test_lists_that_cannot_be_read_make_nobody_a_reference(tmp_path: Path) -> None:
    write_entry(tmp_path, "ours", kind="reference")
    (tmp_path / MAINTAINED).write_text('{"references": "all"}')
    found, problems = open_all(tmp_path)
    assert found == []
    assert [problem.file for problem in problems] == [MAINTAINED, "ours/entry.json"]


def test_every_reference_of_the_repository_is_listed() -> None:
    lists = json.loads((ROOT / "results" / MAINTAINED).read_text())
    assert lists["references"] == sorted(path.name for path in (ROOT / "results").iterdir() if path.is_dir())
