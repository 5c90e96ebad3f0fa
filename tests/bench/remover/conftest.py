"""A run whose cloaks are random signs, of three people, two cloaks and clean photos."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.results.record import DefenseFacts
from tests.support.entries import invented, stored_run
from tests.support.records import record

PEOPLE, CLOAKS = ("ada", "bob", "eve"), ("mist", "aspl")


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for number, person in enumerate(PEOPLE):
        records = [
            record(
                cell=f"{person}{name}{attack}",
                identity=person,
                defense=DefenseFacts(name=name, budget=budget, config={}),
                attack={"name": attack, "config": {}},
                photos_of="",
                images=[],
            )
            for name, budget in (("none", 0), *((cloak, 16) for cloak in CLOAKS))
            for attack in ("dreambooth", "none")
        ]
        folder, store = stored_run(tmp_path, records, invented(f"p{number + 1:02}"))
    monkeypatch.setenv("CLOAKBENCH_STORE", str(store))
    return folder
