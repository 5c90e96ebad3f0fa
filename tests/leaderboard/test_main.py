"""The commands on entries of strangers: nothing that they print is a command to the workflow that runs them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from bench.core.cli import guarded
from leaderboard.__main__ import main
from tests.support.entries import grid, invented, made, stored_run, write_entry

PLAIN = ["::error file=x::y", "##[error]y", "  ::add-mask::y", "x ##[group]y"]
LINES = ["x\n::stop-commands::y", "x\r##[error]y"]


def obeyed(text: str) -> list[str]:
    """Lines that GitHub's runner takes for commands: `::` first in a line, `##[` anywhere in it."""
    return [line for line in text.splitlines() if line.strip().startswith("::") or "##[" in line]


def test_no_line_is_a_command_of_a_workflow(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    results = tmp_path / "results"
    for number, evil in enumerate(PLAIN):
        records = [
            *grid(("p01", evil)),
            made("p02", evil, 8, attack=evil, leaks=8, chain=[evil]),
            made("p03", "aspl", 8, status="fit_failed", reason=f"x\n{evil}"),
            made("p03", "aspl", 16, base=evil, data=evil),
        ]
        about = dict.fromkeys(("title", "description", "licence", "command"), evil)
        write_entry(results, f"mine-{number}", records, authors=[evil], **about)
    bad: list[dict[str, Any]] = [
        facts
        for evil in (*PLAIN, *LINES)
        for facts in (
            {evil: 1},
            {"title": {evil: evil}},
            {"id": evil},
            {"paper": evil},
            {"kind": evil},
            {"title": evil},
        )
    ]
    for number, facts in enumerate(bad):
        write_entry(results, f"bad-{number}", [], **facts)
    for number, evil in enumerate((*PLAIN, *LINES)):
        write_entry(results, f"worse-{number}", made().model_dump_json().replace("lora", evil, 1).encode())
        (results / evil.replace("/", "-")).mkdir()
    entries = sorted(map(str, results.iterdir()))
    guarded(main, ["validate", *entries])
    guarded(main, ["build", str(results), "-o", str(tmp_path / "site")])
    for name in ("mine-0", "mine-1", *PLAIN, *LINES):
        guarded(main, ["compare", str(results), name])
    run, store = stored_run(tmp_path, grid(("p01",)), invented()[:1])
    for entry in (results / "mine-0", results / "mine-1", *(results / evil for evil in LINES)):
        guarded(main, ["verify", str(run), "--store", str(store), "--entry", str(entry)])
    said = "".join(capsys.readouterr())
    assert obeyed(said) == []
    assert said.count("problem") > len(bad)
    assert "mine-0" in (tmp_path / "site" / "data.js").read_text()
