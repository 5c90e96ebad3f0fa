"""Looking into a store, checking it, and throwing things away while runs go on."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.store import META, Store
from bench.store.__main__ import main
from bench.store.inventory import Item, items
from bench.store.lease import FOLDER, gate, held, lease
from bench.store.prune import references, remove, superfluous
from tests.support.contexts import ROOT

DAY = 86400.0
NOW = 1_700_000_000.0


def key(letter: str) -> str:
    return letter * 64


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """Outputs a, b, c of the stage "fit", of 1, 2 and 3 kB and days old; class pictures; and one discarded."""
    made = Store(tmp_path / "store")
    for days, letter in enumerate("abc", start=1):
        _make(made, "fit", letter, 1000 * days, days)
    _make(made, "class", "d", 500, 9)
    _make(made, "fit", "e", 500, 5)
    made.discard("fit", key("e"))
    return made


def _make(store: Store, stage: str, letter: str, size: int, days: float) -> None:
    def work(folder: Path) -> None:
        (folder / "x.bin").write_bytes(b"x" * size)

    entry = store.compute(stage, key(letter), work)
    os.utime(entry.path / META, (NOW - days * DAY, NOW - days * DAY))


def letters(found: list[Item]) -> str:
    return "".join(item.key[0] for item in found)


def by_letter(store: Store) -> dict[str, Item]:
    return {item.key[0]: item for item in items(store)}


# --- what is there --------------------------------------------------------------------------------------------------


def test_every_output_is_listed_with_its_size_and_age(store: Store) -> None:
    found = by_letter(store)
    assert list(found) == ["d", "a", "b", "c", "e"]  # stage by stage
    assert {item.stage for item in found.values()} == {"fit", "class"}
    meta = (found["b"].path / META).stat().st_size
    assert found["b"].size == 2000 + meta
    assert found["b"].made == NOW - 2 * DAY
    assert found["b"].seconds >= 0


def test_states(store: Store) -> None:
    found = by_letter(store)
    (found["a"].path / "x.bin").write_bytes(b"y" * 1000)  # as long as before
    (found["b"].path / META).write_text("{")
    leftover = store.path("fit", key("f")).with_suffix(".partial")
    leftover.mkdir(parents=True)
    assert {letter: item.state() for letter, item in by_letter(store).items()} == {
        "a": "damaged",
        "b": "damaged",
        "c": "whole",
        "d": "whole",
        "e": "discarded",
        "f": "unfinished",
    }


def test_one_missing_file_of_several_is_damage(store: Store) -> None:
    def work(folder: Path) -> None:
        (folder / "x.bin").write_bytes(b"x")
        (folder / "y.bin").write_bytes(b"y")

    path = store.compute("fit", key("g"), work).path
    (path / "x.bin").unlink()
    assert by_letter(store)["g"].state() == "damaged"


def test_an_output_that_goes_while_one_looks_is_left_out(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    gone = store.path("fit", key("b"))
    real = Path.rglob

    def rglob(self: Path, pattern: str) -> object:
        if self == gone:
            raise FileNotFoundError
        return real(self, pattern)

    monkeypatch.setattr(Path, "rglob", rglob)
    assert "b" not in by_letter(store)


# --- what is superfluous --------------------------------------------------------------------------------------------


def test_conditions_narrow_each_other(store: Store) -> None:
    everything = list(items(store))
    assert letters(superfluous(everything, ())) == "decba"  # oldest first
    assert letters(superfluous(everything, (), before=NOW - 2.5 * DAY)) == "dec"
    assert letters(superfluous(everything, (), referenced={f"fit/{key('c')}"})) == "eba"
    assert letters(superfluous(everything, (), referenced={f"fit/{key('c')}"}, before=NOW - 2.5 * DAY)) == "e"


def test_what_nothing_could_name_stays(store: Store) -> None:
    """No record names class pictures: that none does says nothing about them."""
    assert "d" not in letters(superfluous(list(items(store)), (), referenced={f"fit/{key('c')}"}))
    assert letters(superfluous(list(items(store)), (), referenced=set())) == ""


def test_the_oldest_go_until_the_rest_has_the_size(store: Store) -> None:
    everything = list(items(store))
    total = sum(item.size for item in everything)
    assert superfluous(everything, (), keep=total) == []
    assert letters(superfluous(everything, (), keep=total - 1)) == "d"
    small = by_letter(store)
    assert letters(superfluous(everything, (), keep=small["a"].size)) == "decb"
    assert letters(superfluous(everything, (), keep=0)) == "decba"
    used = {f"fit/{key('a')}"}
    assert letters(superfluous(everything, used, keep=0)) == "ecb", "what is in use stays"
    assert letters(superfluous(everything, used, keep=total - 1)) == "e", "and counts"


def test_what_a_running_run_needs_stays_and_what_all_share(store: Store) -> None:
    assert letters(superfluous(list(items(store)), {f"fit/{key('b')}"})) == "eca"


def test_leftovers_of_dead_writers_are_referenced_by_nobody(store: Store) -> None:
    store.path("fit", key("f")).with_suffix(".partial").mkdir(parents=True)
    names = {f"fit/{key(letter)}" for letter in "abcef"}
    assert letters(superfluous(list(items(store)), (), referenced=names)) == "f"
    assert letters(superfluous(list(items(store)), names, referenced=names)) == "", "but a running run is at work on it"


def test_records_and_plans_name_what_stays(tmp_path: Path) -> None:
    cells = tmp_path / "runs" / "one" / "cells"
    cells.mkdir(parents=True)
    (cells / "x.json").write_text(json.dumps({"stages": {"fit": {"key": "k1", "seconds": 1}}}))
    (cells / "failed.json").write_text(json.dumps({"stages": {}}))
    plan = {"cells": [{"cell": "c", "keys": {"fit": "k2", "measure": "k3"}}]}
    (tmp_path / "runs" / "one" / "plan.json").write_text(json.dumps(plan))
    assert references(tmp_path / "runs") == {"fit/k1", "fit/k2", "measure/k3"}


@pytest.mark.parametrize("text", ["{", "[]", '{"stages": {"fit": 1}}', "{}"])
def test_a_record_that_cannot_be_read_stops_everything(text: str, tmp_path: Path) -> None:
    (tmp_path / "run" / "cells").mkdir(parents=True)
    (tmp_path / "run" / "cells" / "x.json").write_text(text)
    with pytest.raises(BenchError, match=r"x\.json is neither a record nor a plan"):
        references(tmp_path)


def test_no_runs_at_all_are_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="There are no runs in"):
        references(tmp_path)


# --- throwing away, and running runs --------------------------------------------------------------------------------


def test_what_goes_is_gone_and_can_be_made_again(store: Store) -> None:
    found = by_letter(store)
    assert remove(store, [found["a"], found["e"]]) == [found["a"], found["e"]]
    assert sorted(by_letter(store)) == ["b", "c", "d"]
    assert store.cost("fit", key("e")) is None
    assert not store.compute("fit", key("a"), lambda folder: None).cached


def test_what_is_being_made_stays(store: Store) -> None:
    found = by_letter(store)
    with store.lock("fit", key("a")):
        assert remove(store, [found["a"], found["b"]]) == [found["b"]]
    assert found["a"].state() == "whole"


def test_a_lease_is_held_for_as_long_as_the_run_lives(store: Store, tmp_path: Path) -> None:
    assert held(store.root) == []
    with lease(store.root, tmp_path / "one", ["fit/x", "fit/x"]), lease(store.root, tmp_path / "two", []):
        found = {each.out: each.keys for each in held(store.root)}
        assert found == {str(tmp_path / "one"): ["fit/x"], str(tmp_path / "two"): []}
    assert held(store.root) == []
    assert [f.name for f in (store.root / FOLDER).iterdir()] == ["gate.lock"]


def test_a_lease_ends_with_an_error(store: Store, tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), lease(store.root, tmp_path, []):
        raise KeyboardInterrupt
    assert [f.name for f in (store.root / FOLDER).iterdir()] == ["gate.lock"]


HOLDER = """
import sys
from pathlib import Path
from bench.store.lease import lease
with lease(Path(sys.argv[1]), Path("out"), ["fit/" + "a" * 64]):
    print("held", flush=True)
    sys.stdin.readline()
"""


def test_a_lease_of_another_process_protects_and_dies_with_it(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    command = [sys.executable, "-c", HOLDER, str(store.root)]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == "held\n"
        assert main(["prune", "--store", str(store.root), "--keep", "0", "--yes"]) == 0
        assert sorted(by_letter(store)) == ["a", "d"]
        child.send_signal(signal.SIGKILL)
        child.wait(timeout=60)
    assert held(store.root) == []
    assert list((store.root / FOLDER).glob("*.json")) == []
    assert main(["prune", "--store", str(store.root), "--keep", "0", "--yes"]) == 0
    assert by_letter(store) == {}
    assert "Thrown away: 3 outputs" in capsys.readouterr().out


def test_a_run_that_begins_waits_for_a_pruning(store: Store, tmp_path: Path) -> None:
    begun = threading.Event()

    def begin() -> None:
        with lease(store.root, tmp_path, []):
            begun.set()

    with gate(store.root):
        thread = threading.Thread(target=begin)
        thread.start()
        assert not begun.wait(0.3)
    thread.join()
    assert begun.is_set()


def test_pruning_looks_and_removes_behind_one_gate(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    """Between a look and a removal no run may begin and find what is about to go."""
    from filelock import Timeout

    from bench.store import __main__ as commands

    def closed(*_: object) -> list[Item]:
        with pytest.raises(Timeout):
            gate(store.root).acquire(timeout=0)
        return list(items(store))

    monkeypatch.setattr(commands, "items", closed)
    monkeypatch.setattr(commands, "remove", closed)
    assert main(["prune", "--store", str(store.root), "--keep", "0", "--yes"]) == 0


# --- the command line -----------------------------------------------------------------------------------------------


def run(store: Store, capsys: pytest.CaptureFixture[str], *words: str) -> tuple[int, str]:
    status = main([*words, "--store", str(store.root)])
    return status, capsys.readouterr().out


def test_ls(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(store, capsys, "ls")
    assert status == 0
    lines = [line.split() for line in text.splitlines()]
    assert next(line for line in lines if line[:1] == ["fit"])[1] == "4"
    assert next(line for line in lines if line[:1] == ["class"])[1] == "1"
    assert "5 outputs, " in text
    assert "kB" in text
    status, text = run(store, capsys, "ls", "fit")
    assert all(letter * 12 in text for letter in "abce")
    assert "d" * 12 not in text


def test_verify(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    status, text = run(store, capsys, "verify")
    assert (status, "1 discarded, 4 whole" in text) == (0, True)
    path = store.path("fit", key("c"))
    (path / "x.bin").write_bytes(b"")
    status, text = run(store, capsys, "verify")
    assert status == 1
    assert f"damaged {path}" in text
    assert "1 damaged, 1 discarded, 3 whole" in text


def test_prune_shows_first_and_needs_a_condition(store: Store, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BenchError, match="would throw everything away"):
        run(store, capsys, "prune", "--yes")
    status, text = run(store, capsys, "prune", "--older", "1s")
    assert status == 0
    assert "Would go: 5 outputs" in text
    assert len(by_letter(store)) == 5
    assert "Thrown away: 5 outputs" in run(store, capsys, "prune", "--older", "1s", "--yes")[1]
    assert by_letter(store) == {}


def test_prune_of_the_unreferenced(store: Store, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine" / "run" / "cells").mkdir(parents=True)
    (tmp_path / "mine" / "run" / "cells" / "x.json").write_text(json.dumps({"stages": {"fit": {"key": key("b")}}}))
    run(store, capsys, "prune", "--unreferenced", str(tmp_path / "mine"), "--yes")
    assert sorted(by_letter(store)) == ["b", "d"]


@pytest.mark.parametrize(("text", "size"), [("0", 0), ("1.5kB", 1500), ("20 GB", 20 * 10**9), ("3T", 3 * 10**12)])
def test_sizes(text: str, size: int) -> None:
    from bench.store.__main__ import _size

    assert _size(text) == size


@pytest.mark.parametrize(("text", "age"), [("90s", 90), ("1.5h", 5400), ("2w", 14 * DAY)])
def test_ages(text: str, age: float) -> None:
    from bench.store.__main__ import _age

    assert _age(text) == age


@pytest.mark.parametrize(
    ("words", "help_"),
    [(["--older", "month"], "write 12h, 30d or 8w"), (["--keep", "much"], "write 500MB, 20GB or 1.5TB")],
)
def test_what_is_no_age_and_no_size_is_explained(
    words: list[str], help_: str, store: Store, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit):
        run(store, capsys, "prune", *words)
    assert help_ in capsys.readouterr().err


def test_a_store_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="There is no store in"):
        main(["ls", "--store", str(tmp_path / "nowhere")])
    assert not (tmp_path / "nowhere").exists()


def test_the_store_of_the_environment(store: Store, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CLOAKBENCH_STORE", str(store.root))
    assert main(["ls"]) == 0


def test_the_module_is_a_command(store: Store) -> None:
    command = [sys.executable, "-m", "bench.store", "ls", "--store", str(store.root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    assert "5 outputs" in done.stdout
