"""Texts of other people on a terminal: names are shown as they are, whatever they would mean to the library."""

from __future__ import annotations

import io
import re
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.console import Console

from bench import status
from bench.core.cli import complain
from bench.core.errors import BenchError
from bench.loggers import LOGGERS, Run
from bench.loggers.guard import Guard
from bench.power import main as power
from bench.report import document
from bench.report.analysis import RunAnalysis
from bench.results.record import Record, save
from bench.runner import run
from bench.runner.progress_bar import Display
from bench.stats.__main__ import main as stats
from bench.stats.table import as_csv
from leaderboard.review.comparison import against
from leaderboard.review.validate import validate_all
from tests.support.contexts import ROOT
from tests.support.entries import write_entry
from tests.support.plain_records import defense, record
from tests.support.two_attacks import THRESHOLDS

NAME = "[bold]ada[_]"
CLOAK = "[/red]x :cat: \\[y]"
LABEL = f"{CLOAK} 8/255"


def records() -> list[Record]:
    """Two arms, against an attack and on people with such names; one of them failed."""
    people = [NAME, "[red]", "plain"]
    found = [
        record(person, leak, defense=method, attack={"name": "[/]lora", "config": {}})
        for person in people
        for method, leak in ((defense("none", 0.0), 1.0), (defense(CLOAK, 8.0), 0.25))
    ]
    found = [one.model_copy(update={"thresholds": THRESHOLDS}) for one in found]
    failed = found[-1].model_copy(
        update={"status": "failed", "reason": "[/b] of [link=x]", "metrics": {}, "images": []}
    )
    return [*found[:-1], failed]


def wide() -> Console:
    """Any console, as somebody may give to `run`."""
    return Console(file=io.StringIO(), width=300)


def text(console: Console) -> str:
    found: str = console.file.getvalue()  # type: ignore[attr-defined]
    return found


def test_a_run_shows_names_as_they_are() -> None:
    console, found = wide(), records()
    with Display(console, 1) as display:
        display.finish(found[0], f"{NAME}, {LABEL}")
    assert run.conclude(RunAnalysis(found), found, Path("runs/[dim]x"), console) == 1
    told = text(console)
    for name in (f"{NAME}, {LABEL}", "[/]lora on", "runs/[dim]x/report.md", "failed: [/b] of [link=x]"):
        assert name in told
    assert LABEL in told.partition("ILR: share")[0].partition("FDFR")[2]


def test_so_do_errors_and_loggers(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    complain(BenchError(f"{NAME} :cat:", "[/] or [bold]"))
    assert capsys.readouterr().err == f"Error: {NAME} :cat:\n[/] or [bold]\n"
    console = wide()
    guard = Guard(LOGGERS.create("csv", {}), "[/]", Run(tmp_path / "file", "x", True, "x", lambda r: []), console)
    (tmp_path / "file").touch()
    guard.log(records()[0])
    assert text(console).startswith("logger=[/] failed")


@pytest.mark.parametrize(
    ("command", "words", "names"),
    [
        (document.main, ["RUN"], [LABEL, "[/]lora"]),
        (status.main, ["RUN"], ["failed: plain, [/red]x", "[/b] of [link=x]"]),
        (stats, ["RUN/scores.csv", "--pairs", "--metric", "ilr"], [LABEL, "ilr/[/]lora at budget"]),
        (stats, ["RUN/scores.csv", "--metric", "ilr", "--against", "clean"], [LABEL]),
        (power, ["RUN/scores.csv", "--metric", "ilr"], ["people"]),
    ],
    ids=["report", "status", "stats", "stats against", "power"],
)
def test_so_do_commands(
    command: Callable[[list[str]], int],
    words: list[str],
    names: list[str],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLUMNS", "300")
    out = tmp_path / "[b]run"
    for number, one in enumerate(records()):
        save(one.model_copy(update={"cell": f"{number:02}" * 32}), out / "cells")
    (out / "scores.csv").write_bytes(as_csv(RunAnalysis(records()).long_form()))
    command([word.replace("RUN", str(out)) for word in words])
    shown = capsys.readouterr().out
    for name in names:
        assert name in shown


def test_so_do_checks_of_entries(tmp_path: Path) -> None:
    folder = write_entry(tmp_path, title=NAME, colour=1)
    console = wide()
    assert validate_all([folder.rename(tmp_path / NAME)], console) == 1
    assert f"problem  {NAME}  " in text(console)
    with pytest.raises(BenchError, match=re.escape(f"{NAME}/entry.json: colour")):
        against(tmp_path, NAME)


def test_no_command_makes_a_console_that_interprets() -> None:
    for package in ("attacks", "bench", "countermeasures", "defenses", "leaderboard", "metrics"):
        for file in (ROOT / package).rglob("*.py"):
            if file != ROOT / "bench" / "core" / "terminal.py":
                assert not re.search(r"\bConsole\(|\[/\]|\[bold", file.read_text()), file


def test_report_md_shows_names_as_they_are() -> None:
    found = records()
    told = document.markdown(RunAnalysis(found))
    assert "## What can be told apart: [/]lora" in told
    assert r"x :cat: \\[y] 8/255" in told
    assert r"[bold]ada[\_]" in told
