"""The limit on a cell's time: what hangs is ended and recorded, and nothing is left ticking."""

from __future__ import annotations

import signal
import threading
from pathlib import Path

import pytest

from bench.core.errors import BenchError
from bench.results.record import Record
from bench.runner import timeout as module
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell
from bench.runner.timeout import deadline
from tests.support.runs import small_run

SOON = 0.05


def hang() -> None:
    while True:
        pass


def quiet() -> bool:
    return signal.getitimer(signal.ITIMER_REAL) == (0, 0) and signal.getsignal(signal.SIGALRM) == signal.SIG_DFL


def test_what_hangs_is_ended() -> None:
    with pytest.raises(BenchError, match=r"longer than timeout=0\.05 seconds"), deadline(SOON):
        hang()
    assert quiet()


def test_what_ends_in_time_is_left_alone() -> None:
    with deadline(1000):
        assert signal.getitimer(signal.ITIMER_REAL)[0] > 900
    assert quiet()
    with deadline(None):
        assert quiet()


def test_another_error_passes_and_the_alarm_is_off() -> None:
    with pytest.raises(ValueError, match="mine"), deadline(1000):
        raise ValueError("mine")
    assert quiet()


def test_code_that_catches_everything_is_told_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "AGAIN", SOON)
    caught = []

    def careless() -> None:
        try:
            hang()
        except BenchError as error:
            caught.append(error)
        hang()

    with pytest.raises(BenchError, match="timeout"), deadline(SOON):
        careless()
    assert len(caught) == 1


def test_off_the_main_thread_it_says_that_it_cannot() -> None:
    said: list[str] = []

    def work() -> None:
        try:
            with deadline(1000):
                said.append("ran")
        except BenchError as error:
            said.append(str(error))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert len(said) == 1
    assert "main thread" in said[0]


def test_a_cell_that_hangs_fails_and_the_others_go_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def attempt(self: Pipeline, cell: Cell, progress: object) -> Record:
        if cell.defense.name == "noise":
            hang()
        return self._record(cell, "ok", metrics={"ilr": 0.5})

    monkeypatch.setattr(Pipeline, "_run", attempt)
    monkeypatch.setattr("bench.report.contact_sheet.draw", lambda records, store: b"")
    status, records, text = small_run(tmp_path, "timeout=2")
    assert status == 1
    assert {r.defense.name: r.status for r in records} == {"none": "ok", "noise": "failed", "aspl": "ok"}
    assert "timeout=2" in text
    assert quiet()
