"""Cells on several processes: the same results, no waiting for each other, and a worker's death costs one cell."""

from __future__ import annotations

import multiprocessing
import os
import subprocess
import sys
import threading
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from bench.config.compose import settings_of
from bench.core import gpus
from bench.core.errors import BenchError
from bench.models.diffusion.model_cache import Pool
from bench.results.record import Record, load_all
from bench.runner import crew, worker_count, workers
from bench.runner.crew import Crew
from bench.runner.worker import live_as_long_as
from bench.runner.worker_count import how_many, threads, threads_of
from bench.runner.workers import _next, _order, execute
from bench.store import Store
from tests.support.contexts import ROOT
from tests.support.runs import SMALL, finished, places, results, small_run

__all__ = ["finished"]  # a fixture

PATIENCE = 120
"""Seconds after which a test gives up on a process."""


@pytest.mark.parametrize(
    ("words", "device", "cells", "cores", "expected"),
    [
        ([], "cpu", 9, 4, 4),
        ([], "cpu", 3, 4, 3),
        ([], "cpu", 9, 1, 1),
        (["workers=2"], "cpu", 9, 4, 2),
        (["workers=8"], "cpu", 3, 4, 3),
        (["workers=2"], "cpu", 0, 4, 1),
        (["model=sd15"], "cpu", 9, 4, 1),
        (["surrogates=[sd15]"], "cpu", 9, 4, 1),
        (["suite=dladiff_paper"], "cpu", 9, 4, 4),
        (["suite=dladiff_paper", "suite.parts.transfer.model=sd15"], "cpu", 9, 4, 1),
        (["suite=dladiff_paper", "suite.parts.transfer.surrogate=sd15"], "cpu", 9, 4, 1),
        ([], "cuda", 9, 4, 1),
        (["device=[cuda:0,cuda:1]"], "cuda:0", 9, 4, 2),
        (["device=[cuda:0,cuda:1]"], "cuda:0", 0, 4, 1),
        (["device=[cuda:0,cuda:1]", "workers=4"], "cuda:0", 9, 4, 4),
    ],
)
def test_number_of_workers(
    words: list[str], device: str, cells: int, cores: int, expected: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: cores)
    monkeypatch.setattr(worker_count, "MEMORY", 1)
    assert how_many(settings_of(words), device, cells) == expected


def test_no_more_workers_than_memory_holds(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "get_num_threads", lambda: 64)
    monkeypatch.setattr(os, "sysconf", lambda name: {"SC_PAGE_SIZE": 4096, "SC_PHYS_PAGES": 2**21}[name])
    assert how_many(settings_of([]), "cpu", 100) == 4  # 8 GiB
    monkeypatch.setattr(os, "sysconf", lambda name: 1)
    assert how_many(settings_of([]), "cpu", 100) == 1


@pytest.mark.parametrize(
    ("words", "device", "expected"),
    [([], "cpu", 1), (["threads=3"], "cpu", 3), (["model=sd15"], "cpu", None), ([], "cuda", None)],
)
def test_threads_of_a_worker(words: list[str], device: str, expected: int | None) -> None:
    assert threads_of(settings_of(words), device) == expected


def test_threads_are_given_back() -> None:
    before = torch.get_num_threads()
    with threads(before + 1):
        assert torch.get_num_threads() == before + 1
    assert torch.get_num_threads() == before
    with threads(None):
        assert torch.get_num_threads() == before


def test_a_cell_starts_only_when_nobody_is_making_what_it_needs(tmp_path: Path) -> None:
    store = Store(tmp_path)
    one, same, other = {"protect": "a", "fit": "1"}, {"protect": "a", "fit": "2"}, {"protect": "b", "fit": "3"}
    outputs = [one, same, other, {}]
    assert _next([1, 2, 3], [], outputs, store) == 1
    making = [set(one.items())]
    assert _next([1, 2, 3], making, outputs, store) == 2
    assert _next([1], making, outputs, store) is None
    assert _next([1, 3], making, outputs, store) == 3  # a skipped cell makes nothing
    assert _next([], making, outputs, store) is None
    store.compute("protect", "a", lambda folder: None)
    assert _next([1, 2, 3], making, outputs, store) == 1  # it is there meanwhile


def test_what_takes_longest_is_not_begun_last() -> None:
    def cell(name: str, attack: str, *surrogates: str) -> Any:
        one, other = SimpleNamespace(name=name), SimpleNamespace(name=attack)
        return SimpleNamespace(identity=one, attack=other, surrogates=surrogates)

    arms = (("none",), ("lora",), ("lora", "facelet-1"))
    planned = [cell(name, *arm) for name in ("eve", "ada", "bo") for arm in arms]
    assert _order(planned, 1) == [2, 1, 0, 5, 4, 3, 8, 7, 6]
    assert _order(planned, 2) == [2, 5, 1, 4, 0, 3, 8, 7, 6]
    assert _order(planned, 3) == [2, 5, 8, 1, 4, 7, 0, 3, 6]
    assert _order([], 2) == []


def test_two_workers_give_the_same_numbers_and_do_nothing_twice(
    finished: tuple[Path, list[Record]], tmp_path: Path
) -> None:
    status, records, text = small_run(tmp_path, "workers=2", "threads=1")
    assert status == 0
    with threads(1):
        alone = small_run(tmp_path / "alone")[1]
    assert results(records) == results(alone)
    assert [r.cell for r in records] == [r.cell for r in alone]
    assert text.count("ILR") >= 4
    made = [(stage, s.key) for r in records for stage, s in r.stages.items() if not s.cached]
    assert len(made) == len(set(made))
    assert multiprocessing.active_children() == []


DEADLY = """
import os
from dataclasses import dataclass
from defenses import DEFENSES, Defense

@DEFENSES.register("deadly")
@dataclass(frozen=True)
class Deadly(Defense):
    "Ends the process it runs in, for all that this can see; at a low budget, it leaves the program politely."

    def protect(self, photos, context):
        if context.budget.levels > 4:
            os._exit(9)
        raise SystemExit("enough")
"""


def test_a_worker_that_dies_costs_its_cell_and_no_other(tmp_path: Path) -> None:
    (tmp_path / "deadly.py").write_text(DEADLY)
    words = [w for w in SMALL if not w.startswith(("defense", "workers"))]
    suite = ["suite.defenses=[none,noise,deadly]", "suite.budgets=[4,8]", f"plugins=[{tmp_path / 'deadly.py'}]"]
    # A process of its own: what a plug-in registers stays.
    asked = [sys.executable, "-m", "bench", *words, *suite, *places(tmp_path), "workers=2"]
    done = subprocess.run(asked, cwd=ROOT, capture_output=True, text=True, check=False, timeout=300)
    found = {(r.defense.name, r.defense.budget, r.attack.name): r for r in load_all(tmp_path / "out")}
    dead = found.pop(("deadly", 8.0, "dreambooth"))
    assert done.returncode == 1
    assert dead.status == "failed"
    assert "died" in dead.reason
    assert not dead.metrics
    left = found.pop(("deadly", 4.0, "dreambooth"))
    assert left.status == "failed"
    assert "SystemExit: enough" in left.reason
    assert {r.status for r in found.values()} == {"ok"}
    assert len(found) == 4
    assert "died" in done.stdout
    assert "Traceback" not in done.stderr


def test_a_cell_dealt_out_when_a_worker_has_just_died_is_done_again() -> None:
    """The pool refuses it before anybody has looked."""

    class Broken:
        def submit(self, *_: object) -> Future[Record]:
            raise BrokenProcessPool

    crew = object.__new__(Crew)
    crew._pool, crew.running, crew._broken = Broken(), {}, False  # type: ignore[assignment]
    crew.start(3)
    assert crew.look() == ([], [3])
    assert crew._broken
    assert crew.running == {}


def test_workers_that_die_before_they_begin_are_not_started_for_ever() -> None:
    crew = object.__new__(Crew)
    crew._begun, crew._refused = 1, ""
    crew.check()
    crew._begun = 0
    with pytest.raises(BenchError, match="memory") as caught:
        crew.check()
    assert "workers=1" in caught.value.fix
    crew._begun, crew._refused = 1, "CudaError: busy"
    with pytest.raises(BenchError, match="CudaError: busy"):
        crew.check()


def test_stopping_early_ends_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[Crew] = []

    class Watched(Crew):
        def __init__(self, *args: Any) -> None:
            super().__init__(*args)
            started.append(self)

    monkeypatch.setattr(workers, "Crew", Watched)
    one = SimpleNamespace(name="ada")
    cells = [
        SimpleNamespace(skip="x", label=str(i), data=None, identity=one, attack=one, surrogates=()) for i in range(3)
    ]
    pipeline: Any = SimpleNamespace(
        settings=settings_of(["workers=2"]), pool=SimpleNamespace(device="cpu"), store=None, outputs=lambda cell: {}
    )
    pipeline.stored, pipeline.group, pipeline.making = lambda cell: False, lambda cells: None, lambda cell: set()
    monkeypatch.setattr(crew, "begin", _wait_begin)
    monkeypatch.setattr(crew, "work", _wait_work)
    finished_cells = execute(cells, pipeline, lambda *_: None)  # type: ignore[arg-type]
    assert next(finished_cells)[1] == 0  # type: ignore[comparison-overlap]
    assert multiprocessing.active_children()
    finished_cells.close()
    assert len(started) == 1
    assert multiprocessing.active_children() == []


def test_what_is_stored_is_read_here_and_only_the_rest_needs_workers(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def count(settings: Any, device: str, cells: int) -> int:
        asked.append(cells)
        return 1

    monkeypatch.setattr(workers, "how_many", count)
    monkeypatch.setattr(workers, "attempt", lambda pipeline, cell, progress: cell.label)
    cells: Any = [SimpleNamespace(label=label) for label in "abc"]
    pipeline: Any = SimpleNamespace(settings=settings_of([]), pool=SimpleNamespace(device="cpu"))
    pipeline.stored, pipeline.group = lambda cell: cell.label in "ac", lambda cells: None
    done: list[Any] = [record for _, record in execute(cells, pipeline, lambda *_: None)]
    assert done == ["a", "c", "b"]
    pipeline.stored = lambda cell: True
    assert len(list(execute(cells, pipeline, lambda *_: None))) == 3
    assert asked == [1], "for one cell, and for none nobody asks"


def _wait_begin(settings: Any, work: bytes, main: str, devices: Any, told: Any, ended: Any) -> None:
    threading.Thread(target=live_as_long_as, args=(ended,), daemon=True).start()


def _wait_work(index: int) -> int:
    if index:
        threading.Event().wait(PATIENCE)
    return index


def test_a_worker_does_not_outlive_the_process_that_started_it() -> None:
    context = multiprocessing.get_context("spawn")
    theirs, ours = context.Pipe(duplex=False)
    orphan = context.Process(target=live_as_long_as, args=(theirs,))
    orphan.start()
    ours.close()  # as the system does when a process is killed
    orphan.join(PATIENCE)
    assert orphan.exitcode == 1


def test_devices_are_named() -> None:
    assert settings_of([]).devices == ("auto",)
    assert settings_of(["device=[cuda:0,cuda:1]"]).devices == ("cuda:0", "cuda:1")


@pytest.mark.parametrize(
    ("word", "fix"),
    [
        ("device=[]", "Give auto, cpu, cuda, cuda:1 or mps"),
        ("device=gpu", "Give auto, cpu, cuda, cuda:1 or mps"),
        ("device=[cpu,gpu]", "Give auto, cpu, cuda, cuda:1 or mps"),
        ("workers=0", "Give auto, or a number of at least 1."),
        ("workers=many", "Give auto, or a number of at least 1."),
        ("threads=0", "of at least 1"),
        ("mode=fast", "'cached', 'retry', 'force' or 'read_only'"),
    ],
)
def test_mistakes_are_explained(word: str, fix: str) -> None:
    with pytest.raises(BenchError, match=word.partition("=")[0]) as caught:
        settings_of([word])
    assert fix in caught.value.fix


def test_a_gpu_that_is_not_there_is_a_mistake_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(gpus, "FILES", ("null",))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 2)
    assert Pool("cuda:1").device == "cuda:1"
    assert Pool("auto").device == "cuda"
    with pytest.raises(BenchError, match="sees 2 GPUs"):
        _ = Pool("cuda:2").device
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(BenchError, match="sees 0 GPUs"):
        _ = Pool("cuda").device
    assert Pool("auto").device == "cpu"


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such files")
def test_pytorch_is_not_asked_for_gpus_where_the_system_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def ask() -> bool:
        raise AssertionError("asked")

    monkeypatch.setattr(torch.cuda, "is_available", ask)
    monkeypatch.setattr(gpus, "FILES", ("no such file",))
    assert Pool("auto").device == "cpu"
