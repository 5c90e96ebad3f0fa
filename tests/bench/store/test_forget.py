"""`bench.store forget`: all of one person goes, nothing of others, and it says what went and what still names them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.core.pseudonyms import pseudonym
from bench.store import Store, about
from bench.store.__main__ import main
from bench.store.inventory import items
from bench.store.lease import lease
from bench.store.secret import secret


def photo(folder: Path) -> None:
    (folder / "000.png").write_bytes(b"x" * 1000)


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Of Ada a cloak, weights (discarded), faces and class pictures; of Grace a cloak; a leftover of a dead process."""
    store = Store(tmp_path / "store")
    for number, (person, stages) in enumerate(
        {"ada": ("surrogate", "protect", "fit", "faces", "class"), "grace": ("protect",)}.items()
    ):
        with about(pseudonym(person, secret(store.root))):
            for stage in stages:
                store.compute(stage, f"{number}" * 64, photo)
    store.discard("fit", "0" * 64)
    (store.root / "protect" / "00" / ("9" * 64 + ".partial")).mkdir()
    return store


def left(store: Store) -> set[tuple[str, str]]:
    return {(item.stage, item.key[0]) for item in items(store)}


def forget(store: Store, person: str, runs: Path) -> int:
    return main(["forget", person, "--store", str(store.root), "--runs", str(runs)])


@pytest.mark.parametrize("how", ["name", "pseudonym"])
def test_all_of_one_person_goes_and_nothing_of_others(
    how: str, store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    person = "ada" if how == "name" else pseudonym("ada", secret(store.root))
    assert forget(store, person, tmp_path / "runs") == 0
    assert left(store) == {("class", "0"), ("protect", "1")}
    said = capsys.readouterr().out
    assert f"Forgotten of {person}: 5 outputs" in said
    assert "faces: 1 outputs, 1." in said, "count and size by stage"
    assert "do not say whose" not in said
    forget(store, person, tmp_path / "runs")
    assert "0 outputs" in capsys.readouterr().out


def test_names_that_were_stored_are_forgotten_too(store: Store, tmp_path: Path) -> None:
    with about("Ann Lee"):
        store.compute("protect", "2" * 64, photo)
    forget(store, "Ann Lee", tmp_path / "runs")
    assert ("protect", "2") not in left(store)


def test_runs_that_name_the_person_are_named_and_tell_what_older_versions_made(
    store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in (3, 4):
        store.compute("generate", f"{number}" * 64, photo)  # by a version that did not note whose it is
    cells = tmp_path / "runs" / "mine" / "cells"
    cells.mkdir(parents=True)
    (cells / "a.json").write_text(json.dumps({"identity": "ada", "stages": {"generate": {"key": "3" * 64}}}))
    (cells / "g.json").write_text(json.dumps({"identity": "grace", "stages": {"generate": {"key": "4" * 64}}}))
    (cells / "broken.json").write_text("{")
    forget(store, "ada", tmp_path / "runs")
    assert left(store) == {("class", "0"), ("protect", "1"), ("generate", "4")}
    said = capsys.readouterr().out
    assert f"Still there, with scores and perhaps pictures: {tmp_path / 'runs' / 'mine'}" in said
    assert "1 other outputs do not say whose they are" in said


def test_a_run_that_goes_on_keeps_what_it_needs(store: Store, tmp_path: Path) -> None:
    with (
        lease(store.root, tmp_path / "out", [f"protect/{'0' * 64}"]),
        pytest.raises(BenchError, match="needs what is to"),
    ):
        forget(store, "ada", tmp_path / "runs")
    assert ("faces", "0") in left(store)
