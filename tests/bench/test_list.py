"""The list of methods: no name is broken, however narrow the terminal is."""

from __future__ import annotations

import pytest

from attacks import ATTACKS
from bench.data import SOURCES
from bench.list import main
from bench.loggers import LOGGERS
from countermeasures import COUNTERMEASURES
from defenses import DEFENSES


@pytest.mark.parametrize("columns", ["40", "80", "200", None])
def test_every_name_begins_a_line_and_no_word_is_broken(
    columns: str | None, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    if columns:
        monkeypatch.setenv("COLUMNS", columns)
    else:
        monkeypatch.delenv("COLUMNS", raising=False)
    assert main([]) == 0
    shown = capsys.readouterr().out
    lines, words = shown.splitlines(), shown.split()
    for registry in (DEFENSES, ATTACKS, COUNTERMEASURES, SOURCES, LOGGERS):
        for entry in registry.entries():
            assert any(line.startswith(f"  {entry.name}") for line in lines), entry.name
            assert " ".join(entry.description.split()) in " ".join(words), entry.name
            assert entry.paper in " ".join(words), entry.name
    assert max(map(len, lines)) <= int(columns or 80)


def test_kinds_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["loggers"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("logger:\n  csv ")
    assert "dladiff" not in shown
