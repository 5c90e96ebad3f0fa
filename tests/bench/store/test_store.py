"""The store: work is done once, whole or not at all, whatever happens to its process."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import IO, Any

import pytest
from filelock import Timeout

from bench.core.errors import BenchError
from bench.core.meter import Cost, Meter
from bench.store import META, Entry, Store, write_atomic
from bench.store.inventory import items
from tests.support.contexts import ROOT

KEY = "ab" * 32


class Work:
    """Writes one file (in a sub-folder, too) and counts how often it was asked to."""

    def __init__(self, text: str = "result") -> None:
        self.text = text
        self.calls = 0

    def __call__(self, folder: Path) -> None:
        self.calls += 1
        (folder / "a.txt").write_text(self.text)
        (folder / "sub").mkdir()
        (folder / "sub" / "b.txt").write_text(self.text)


def flat(folder: Path) -> None:
    (folder / "a.txt").write_text("result")


@pytest.fixture
def store(tmp_path: Path) -> Store:
    return Store(tmp_path / "store")


def test_work_is_done_once(store: Store) -> None:
    work = Work()
    assert store.find("fit", KEY) is None
    first = store.compute("fit", KEY, work)
    second = store.compute("fit", KEY, work)
    assert work.calls == 1
    assert (first.cached, second.cached) == (False, True)
    assert first.path == second.path == store.path("fit", KEY)
    assert second.cost == first.cost, "the cost is that of the computation"
    assert (first.path / "sub" / "b.txt").read_text() == "result"


def test_another_store_object_finds_it(store: Store) -> None:
    store.compute("fit", KEY, Work())
    found = Store(store.root).find("fit", KEY)
    assert found is not None
    assert found.cached


@pytest.mark.parametrize(("stage", "key"), [("generate", KEY), ("fit", "ab" * 31 + "cd")])
def test_another_stage_or_key_is_another_output(store: Store, stage: str, key: str) -> None:
    work = Work()
    store.compute("fit", KEY, work)
    store.compute(stage, key, work)
    assert work.calls == 2


@pytest.mark.parametrize("file", ["a.txt", "sub/b.txt", META])
@pytest.mark.parametrize("damage", ["changed", "emptied", "deleted"])
def test_damaged_file_is_noticed_and_made_again(store: Store, file: str, damage: str) -> None:
    work = Work()
    path = store.compute("fit", KEY, work).path / file
    if damage == "deleted":
        path.unlink()
    else:
        path.write_text("" if damage == "emptied" else "resulT")  # as long as before: only the hash can tell
    assert store.find("fit", KEY) is None
    assert not store.compute("fit", KEY, work).cached
    assert work.calls == 2
    assert store.find("fit", KEY) is not None


def test_remains_of_a_damaged_output_do_not_survive(store: Store) -> None:
    folder = store.compute("fit", KEY, Work()).path
    (folder / "a.txt").write_text("damaged")
    (folder / "alien.txt").write_text("left by nobody")
    store.compute("fit", KEY, Work())
    assert sorted(f.name for f in folder.iterdir()) == ["a.txt", META, "sub"]


def test_error_in_the_work_leaves_nothing_and_can_be_retried(store: Store) -> None:
    def broken(folder: Path) -> None:
        (folder / "half.txt").write_text("half")
        raise RuntimeError("out of memory")

    with pytest.raises(RuntimeError, match="out of memory"):
        store.compute("fit", KEY, broken)
    assert store.find("fit", KEY) is None
    assert store.cost("fit", KEY) is None
    entry = store.compute("fit", KEY, Work())
    assert not (entry.path / "half.txt").exists()
    assert store.find("fit", KEY) is not None


def test_leftovers_of_a_dead_writer_are_ignored(store: Store) -> None:
    leftover = store.path("fit", KEY).with_suffix(".partial")
    leftover.mkdir(parents=True)
    (leftover / "half.txt").write_text("half")
    (leftover / META).write_text(json.dumps({"seconds": 1.0, "peak_mb": 1.0, "files": {}}))
    assert store.find("fit", KEY) is None
    entry = store.compute("fit", KEY, Work())
    assert not entry.cached
    assert not (entry.path / "half.txt").exists()
    assert not leftover.exists()


def test_discard_deletes_the_files_and_keeps_the_cost(store: Store) -> None:
    entry = store.compute("fit", KEY, flat)
    store.discard("fit", KEY)
    assert [f.name for f in entry.path.iterdir()] == [META]
    assert store.find("fit", KEY) is None
    left = store.cost("fit", KEY)
    assert left is not None
    assert left.cost == entry.cost
    assert not store.compute("fit", KEY, flat).cached


def test_discarding_what_is_not_there_is_harmless(store: Store) -> None:
    store.discard("fit", KEY)
    assert store.cost("fit", KEY) is None


# --- several processes ----------------------------------------------------------------------------------------------

CHILD = """
import sys
from pathlib import Path
from bench.store import Store

class Reporting(Store):
    def find(self, stage, key):
        found = super().find(stage, key)
        print("found" if found else "not found", flush=True)
        return found

def work(folder):
    (folder / "a.txt").write_text("half")
    print("working", flush=True)
    sys.stdin.readline()  # until the test lets go
    (folder / "a.txt").write_text("result")

entry = Reporting(Path(sys.argv[1])).compute("fit", sys.argv[2], work)
print("cached" if entry.cached else "computed", flush=True)
"""


def start(store: Store) -> tuple[subprocess.Popen[str], IO[str], IO[str]]:
    """A process that computes KEY and reports every step on its standard output."""
    child = subprocess.Popen(
        [sys.executable, "-c", CHILD, str(store.root), KEY],
        cwd=ROOT,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert child.stdin is not None
    assert child.stdout is not None
    return child, child.stdin, child.stdout


def test_two_processes_share_the_work(store: Store) -> None:
    first, first_in, first_out = start(store)
    with first:
        assert "working\n" in first_out  # reads up to this line
        with pytest.raises(Timeout):  # who works holds the lock
            store.lock("fit", KEY).acquire(timeout=0)
        second, second_in, second_out = start(store)
        with second:
            assert second_out.readline() == "not found\n"  # it has looked, and goes on to wait for the lock
            for stream in (first_in, second_in):
                stream.write("go\n")
                stream.close()
            assert first_out.read() == "computed\n"
            assert second_out.read() == "found\ncached\n"
    assert (store.path("fit", KEY) / "a.txt").read_text() == "result"


def test_process_killed_at_work_leaves_nothing_behind(store: Store) -> None:
    child, _, out = start(store)
    with child:
        assert "working\n" in out
        child.send_signal(signal.SIGKILL)  # no handler, no finally, no atexit
        assert child.wait(timeout=60) == -signal.SIGKILL
    assert store.find("fit", KEY) is None
    with store.lock("fit", KEY).acquire(timeout=10):
        pass  # the system has freed the dead process's lock
    assert not store.compute("fit", KEY, flat).cached
    assert (store.path("fit", KEY) / "a.txt").read_text() == "result"


# --- single files and costs -----------------------------------------------------------------------------------------


def test_write_atomic_replaces_and_leaves_no_scratch_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "record.json"
    write_atomic(path, b"old")
    write_atomic(path, b"new")
    assert path.read_bytes() == b"new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.skipif(
    not os.access("/proc/self/clear_refs", os.W_OK), reason="only Linux can reset a process's peak memory"
)
def test_meter_measures_time_and_memory() -> None:
    """In a process of its own: a large one may lose more memory meanwhile, to the kernel, than the block takes."""
    code = """
from bench.core.meter import Meter
def touched(megabytes):
    block = bytearray(megabytes * 2**20)
    block[::4096] = b"x" * len(block[::4096])  # untouched memory is not resident
touched(256)  # a peak from before the blocks, which is none of theirs
with Meter() as small:
    pass
with Meter() as large:
    touched(64)
print(small.cost.seconds, large.cost.seconds, small.cost.peak_mb, large.cost.peak_mb)
"""
    said = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    small_seconds, large_seconds, small_peak, large_peak = map(float, said.split())
    assert 0 <= small_seconds < large_seconds
    assert large_peak - small_peak > 32


def test_meter_measures_a_block_that_raises() -> None:
    meter = Meter()
    with pytest.raises(KeyError), meter:
        raise KeyError
    assert meter.cost.peak_mb > 0


@pytest.mark.parametrize("key", ["../../private", "/etc", "..", "", "a/b"])
def test_a_key_leads_nowhere_but_into_the_store(tmp_path: Path, key: str) -> None:
    """A record of somebody else states keys, and its pictures are looked for by them."""
    store = Store(tmp_path / "deep" / "store")
    Store(tmp_path).compute("protect", KEY, flat)
    for ask in (store.find, store.cost, store.remove, store.discard):
        with pytest.raises(BenchError, match="is no output of a store"):
            ask("generate", key)


# --- several at once ------------------------------------------------------------------------------------------------


def test_of_several_only_the_missing_ones_are_computed_and_one_that_fails_loses_no_other(store: Store) -> None:
    first, second, third = (letter * 64 for letter in "abc")
    store.compute("fit", first, flat)
    asked: list[set[str]] = []
    problem = ValueError("diverged")

    def work(folders: dict[str, Path]) -> dict[str, Exception]:
        asked.append(set(folders))
        for folder in folders.values():
            flat(folder)
        return {second: problem} if second in folders else {}

    people = {third: "cleo", second: "bo", first: "ada"}
    done = store.compute_many("fit", people, work, places=4)
    assert asked == [{second, third}]
    assert done[second] is problem
    assert store.find("fit", second) is None
    kept, there = done[third], done[first]
    assert isinstance(kept, Entry)
    assert isinstance(there, Entry)
    assert (kept.cached, there.cached) == (False, True)
    assert (kept.path / "a.txt").read_text() == "result"
    assert [item.people for item in items(store) if item.key == third] == [("cleo",)]

    assert isinstance(store.compute_many("fit", people, work, places=4)[second], ValueError)
    assert asked[1:] == [{second}]
    store.compute_many("fit", {third: "cleo", first: "ada"}, work, places=4)
    assert len(asked) == 2, "all are there"


def test_several_are_locked_in_everybodys_order_so_that_nobody_waits_for_who_waits(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    locked: list[str] = []
    lock = Store.lock

    def noted(self: Store, stage: str, key: str) -> Any:
        locked.append(key)
        return lock(self, stage, key)

    monkeypatch.setattr(Store, "lock", noted)
    keys = [letter * 64 for letter in "bca"]
    store.compute_many("fit", dict.fromkeys(keys, "ada"), lambda folders: {}, places=4)
    store.compute_many("fit", dict.fromkeys(reversed(keys), "ada"), lambda folders: {}, places=4)
    assert locked == sorted(keys) * 2


def test_several_share_the_seconds_and_each_has_the_samples_of_one_place(store: Store) -> None:
    def work(folders: dict[str, Path]) -> dict[str, Exception]:
        assert all(folder.is_dir() for folder in folders.values())
        return {}

    done = store.compute_many("fit", dict.fromkeys(["a" * 64, "b" * 64], "ada"), work, places=4)
    made = [each.cost for each in done.values() if isinstance(each, Entry)]
    assert [(cost.together, cost.places) for cost in made] == [(2, 4)] * 2
    whole = Cost(6.0, 100.0, {"unet": {"plain": 0, "inputs": 40, "weights": 0}}, halvings=1)
    assert whole.share(2, 4) == Cost(3.0, 100.0, {"unet": {"plain": 0, "inputs": 10, "weights": 0}}, 1, 2, 4)
