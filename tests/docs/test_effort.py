"""The guide's table of defenses says of each what it costs; so does `bench.list`."""

from __future__ import annotations

import re

import pytest

from bench.config.schema import EQUAL_EFFORT
from bench.list import main
from defenses import DEFENSES
from tests.support.contexts import ROOT

CELL = re.compile(r"[\d,]+")


def rows() -> dict[str, list[int]]:
    """Defense -> its effort as published, embedded, and equal, as the guide has them."""
    lines = [
        [cell.strip() for cell in line.strip("|").split(" | ")]
        for line in (ROOT / "docs/guides/defenses.md").read_text().splitlines()
        if line.startswith("| `")
    ]
    return {
        name: [int(CELL.findall(cell)[0].replace(",", "")) for cell in cells[3:]]
        for cells in lines
        for name in re.findall(r"`(\w+)`", cells[0])
        if name in DEFENSES.names() and all(CELL.search(cell) for cell in cells[3:])
    }


def test_the_guides_efforts_are_those_of_the_presets() -> None:
    found = {name: cls for name in DEFENSES.names() if (cls := DEFENSES.get(name)).loop}
    assert rows() == {
        name: [
            cls().resolved("sd").effort,
            cls().resolved("facelet").effort,
            cls().resolved("facelet").at_effort(EQUAL_EFFORT).effort,
        ]
        for name, cls in found.items()
    }


def test_the_list_says_it_of_iterative_cloaks_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["defenses"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "arXiv 2303.15433. Effort 240 (450 at full size)." in said
    assert said.count("Effort") == len(rows())
