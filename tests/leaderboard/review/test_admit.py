"""What a pull request may do: add valid entries, and leave alone those that are there, and the maintainers' files."""

from __future__ import annotations

import io
import shutil
import subprocess
from pathlib import Path

import pytest

from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.core.terminal import terminal
from leaderboard.__main__ import main
from leaderboard.review.admit import Change, admit, changes, refusals
from tests.support.entries import grid, made, maintain, write_entry, zipped


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """The target branch's entries: one of a stranger, one of a maintainer, one as a zip."""
    root = tmp_path / "base"
    write_entry(root, "theirs")
    zipped(write_entry(root, "packed"))
    write_entry(root, "reference", kind="reference")
    maintain(root, "reference")
    (root / "README.md").write_text("How to submit")
    return root


def asked(
    base: Path, *found: tuple[str, str], maintainer: bool = False, summary: Path | None = None
) -> tuple[int, str]:
    """The exit status for some changes to a copy of the entries beside it, and what was printed."""
    console = terminal(file := io.StringIO())
    listed = [Change(how, f"results/{path}") for how, path in found]
    status = admit(base.with_name("proposal"), base, listed, maintainer, summary, console)
    return status, file.getvalue()


@pytest.fixture
def proposal(base: Path) -> Path:
    return shutil.copytree(base, base.with_name("proposal"))


ADDED = [("A", "mine/entry.json"), ("A", "mine/records.jsonl.gz")]


def test_a_valid_entry_is_admitted_and_summed_up(base: Path, proposal: Path) -> None:
    write_entry(proposal, "mine")
    summary = base.with_name("summary.md")
    status, said = asked(base, *ADDED, summary=summary)
    assert (status, said[:4]) == (0, "pass"), said
    assert "aspl 8/255" in summary.read_text()
    zipped(proposal / "mine")
    assert asked(base, ("A", "mine.zip"))[0] == 0


def test_an_entry_that_is_not_valid_is_not_admitted(base: Path, proposal: Path) -> None:
    write_entry(proposal, "mine", [r for r in grid() if r.defense.name != "none"])
    status, said = asked(base, *ADDED)
    assert status == 1
    assert "the control 'none'" in said


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (("M", "theirs/records.jsonl.gz"), "theirs is an entry already"),
        (("D", "theirs/entry.json"), "theirs is an entry already"),
        (("A", "theirs/images.json"), "theirs is an entry already"),
        (("D", "packed.zip"), "packed.zip is an entry already"),
        (("A", "theirs.zip"), "theirs.zip is an entry already"),
        (("A", "packed/entry.json"), "packed is an entry already"),
        (("M", "verified.json"), "only maintainers change it"),
        (("A", "verified.json"), "only maintainers change it"),
        (("M", "maintained.json"), "only maintainers change it"),
        (("M", "README.md"), "only maintainers change it"),
        (("A", ".hidden/entry.json"), "only maintainers change it"),
        (("A", "Theirs/entry.json"), "only maintainers change it"),
        (("A", "mine.zip/entry.json"), "only maintainers change it"),
        (("A", "x\n::error::y"), "only maintainers change it"),
        (("T", "mine/entry.json"), "adds nothing (T)"),
        (("A", "mine.zip"), "as a folder and as a zip"),
    ],
)
def test_what_is_others_stays_as_it_is(base: Path, proposal: Path, change: tuple[str, str], said: str) -> None:
    write_entry(proposal, "mine")
    status, told = asked(base, change, *ADDED)
    assert status == 1
    assert said in told
    assert len(told.splitlines()) == told.count("problem:") + 1, "one line each, whatever a file is called"


def test_a_results_folder_that_becomes_something_else_is_refused(base: Path, proposal: Path) -> None:
    assert list(refusals([Change("A", "results")], base)) == [
        "results is part of no entry: only maintainers change it."
    ]


def test_a_maintainer_may_change_what_is_there_and_it_is_validated(base: Path, proposal: Path) -> None:
    changed = ("M", "theirs/records.jsonl.gz")
    assert asked(base, changed, maintainer=True)[0] == 0
    (proposal / "theirs" / "records.jsonl.gz").write_bytes(b"x")
    status, said = asked(base, changed, maintainer=True)
    assert (status, "its hash differs" in said) == (1, True)
    shutil.rmtree(proposal / "theirs")
    assert asked(base, ("D", "theirs/entry.json"), maintainer=True)[0] == 0
    (proposal / "verified.json").write_text("no JSON")
    status, said = asked(base, ("A", "verified.json"), maintainer=True)
    assert (status, "verified.json" in said) == (1, True)


def test_it_fails_if_it_validated_nothing(base: Path, proposal: Path) -> None:
    """The list says that an entry is added, and it is not there."""
    status, said = asked(base, *ADDED)
    assert (status, "no entry of it could be validated" in said) == (1, True)
    assert asked(base) == (0, "Nothing in results/ changes.\n")


@pytest.mark.parametrize("listing", [b"A", b"A\0", b"A\0results/x", b"M\0a\0b\0", b"R100\0a\0", b"results/x\0"])
def test_what_git_did_not_print_is_an_error(listing: bytes) -> None:
    with pytest.raises(BenchError, match="is not git's"):
        changes(listing)


def test_the_command_reads_what_git_prints(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def git(*words: str) -> bytes:
        who = ["-c", "user.name=x", "-c", "user.email=x@example.org", "-c", "core.hooksPath=/dev/null"]
        return subprocess.run(["git", "-C", tmp_path, *who, *words], capture_output=True, check=True).stdout

    git("init", "-q", "-b", "main")
    write_entry(tmp_path / "results", "theirs")
    git("add", "-A")
    git("commit", "-qm", "one")
    shutil.copytree(tmp_path / "results", tmp_path / "base")
    git("checkout", "-qb", "proposal")
    write_entry(tmp_path / "results", "mine")
    git("add", "results")
    git("commit", "-qm", "two")
    diff = ("diff", "--name-status", "--no-renames", "-z", "main...proposal", "--", "results")
    words = [
        "admit",
        str(tmp_path / "results"),
        "--base",
        str(tmp_path / "base"),
        "--changes",
        str(tmp_path / "changes"),
    ]
    (tmp_path / "changes").write_bytes(git(*diff))
    assert guarded(main, words) == 0
    assert capsys.readouterr().out.startswith("pass  mine")
    git("mv", "results/theirs", "results/renamed")
    git("commit", "-qm", "three")
    (tmp_path / "changes").write_bytes(git(*diff))
    assert guarded(main, words) == 1
    assert "theirs is an entry already: nobody else edits" in capsys.readouterr().out


def test_all_entries_of_a_folder_are_validated(base: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["validate", "--all", str(base)]) == 0
    assert capsys.readouterr().out.count("pass  ") == 3
    write_entry(base, "bad", [made()])
    assert main(["validate", "--all", str(base)]) == 1
    assert guarded(main, ["validate"]) == 1
