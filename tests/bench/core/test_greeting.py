"""The first word of a run."""

from __future__ import annotations

import pytest

from bench.core.greeting import greet

RUN = "/somewhere/bench/__main__.py"


@pytest.mark.parametrize(
    ("words", "greeted"),
    [
        ([RUN], True),
        ([RUN, "defense=aspl"], True),
        ([RUN, "-m", "budget=8,16"], True),
        (["/bin/cloakbench", "budget=8"], True),
        (["/bin/cloakbench", "list"], False),
        ([RUN, "--help"], False),
        ([RUN, "budget=8", "--cfg", "job"], False),
        ([RUN, "-sc", "install=bash"], False),
        (["/bin/pytest"], False),
        ([], False),
    ],
)
def test_only_a_run_begins_with_a_word(words: list[str], greeted: bool, capsys: pytest.CaptureFixture[str]) -> None:
    greet(words)
    said = capsys.readouterr()
    assert (said.out, bool(said.err)) == ("", greeted)
