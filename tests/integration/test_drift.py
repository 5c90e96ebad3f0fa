"""The committed reference results are still what the code gives: a few of their cells again, within a rerun's bands."""

from __future__ import annotations

from io import StringIO
from pathlib import Path

import pytest
from rich.console import Console

from bench.config.compose import settings_of
from bench.runner.run import run
from leaderboard.review.verify import verify
from tests.support.contexts import ROOT
from tests.support.runs import places

REFERENCE = ROOT / "results" / "reference-2-synthetic"
CELLS = ["attack=instantid", "defense=noise", "controls=[]", "budget=16", "data.limit=1", "model.steps=20"]
"""Of one person, the base and what the attack makes of photos with noise: every stage, in half a minute.

The reference was made with 20 sampler steps.
"""


@pytest.fixture(scope="module")
def again(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("drift")
    words = [*CELLS, *places(root), "logger=none", "workers=1", "threads=1"]
    assert run(settings_of(words), Console(file=StringIO())) == 0
    return root


def test_the_reference_results_have_not_drifted(again: Path) -> None:
    said = StringIO()
    status = verify(again / "out", again / "store", REFERENCE, None, "", Console(file=said, width=120))
    assert status == 0, said.getvalue()
    compared = next(line.split()[1] for line in said.getvalue().splitlines() if line.split()[:1] == ["status"])
    assert compared == "2", said.getvalue()
