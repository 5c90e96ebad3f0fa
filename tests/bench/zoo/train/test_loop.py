"""The training loop of the embedded family: resuming, averaging, schedule."""

from __future__ import annotations

import os
import signal
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor, nn

from bench.zoo.train.loop import STOPPED, Part, Schedule, train


class Line(Part):
    """Fit y = 2x with one weight; counts its batches, and can be cut off after some."""

    def __init__(self, stop_after: int = 10**9) -> None:
        torch.manual_seed(0)
        self.module = nn.Linear(1, 1)
        self.left = stop_after
        self.exported: dict[str, Tensor] = {}

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        self.left -= 1
        if self.left < 0:
            raise KeyboardInterrupt
        x = torch.randn(count, 1, generator=random)
        error: Tensor = (self.module(x) - 2 * x).square().mean()
        return error

    def export(self, folder: Path) -> None:
        self.exported = {key: value.clone() for key, value in self.module.state_dict().items()}


def schedule(steps: int = 60) -> Schedule:
    return Schedule(steps=steps, batch=8, lr=0.1, warmup=5, ema=0.9, save_minutes=0, grid_every=0)


def test_an_interrupted_training_ends_where_an_uninterrupted_one_does(tmp_path: Path) -> None:
    whole, cut = Line(), Line(stop_after=23)
    train(whole, schedule(), tmp_path / "whole")
    with pytest.raises(KeyboardInterrupt):
        train(cut, schedule(), tmp_path / "cut")
    rest = Line()
    train(rest, schedule(), tmp_path / "cut")
    assert rest.left == 10**9 - (60 - 23)  # it did not start again from the beginning
    assert rest.exported.keys() == whole.exported.keys()
    for key, value in whole.exported.items():
        assert torch.equal(rest.exported[key], value)


class Told(Line):
    """Is told to end while it computes its 23rd batch."""

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        if self.left == 10**9 - 22:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().loss(count, random)


def test_a_training_that_is_told_to_end_saves_its_last_step_and_goes_on_from_there(tmp_path: Path) -> None:
    seldom = replace(schedule(), save_minutes=1000)
    with pytest.raises(SystemExit) as ended:
        train(Told(), seldom, tmp_path / "told")
    assert ended.value.code == STOPPED
    assert torch.load(tmp_path / "told" / "state.pt", weights_only=True)["step"] == 23
    assert not (tmp_path / "told" / "final").exists()
    whole, rest = Line(), Line()
    train(whole, schedule(), tmp_path / "whole")
    train(rest, schedule(), tmp_path / "told")
    assert (tmp_path / "told" / "final").is_dir()
    for key, value in whole.exported.items():
        assert torch.equal(rest.exported[key], value)


class Broken(Line):
    def export(self, folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("no space left")


def test_what_is_half_exported_does_not_look_finished(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="no space"):
        train(Broken(), schedule(), tmp_path)
    assert not (tmp_path / "final").exists()
    train(Line(), schedule(), tmp_path)
    assert list((tmp_path / "final").iterdir()) == []


class Slow(Line):
    """Its batches take a second each of a clock that stands still otherwise."""

    def __init__(self, stop_after: int = 10**9) -> None:
        super().__init__(stop_after)
        self.clock = 1000.0 * stop_after  # another one after every start

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        self.clock += 1
        return super().loss(count, random)


def test_a_training_by_the_clock_ends_when_its_time_is_over(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    timed = replace(schedule(steps=1), minutes=0.5)
    cut, rest = Slow(stop_after=23), Slow()
    monkeypatch.setattr("bench.zoo.train.loop.time", SimpleNamespace(monotonic=lambda: cut.clock))
    with pytest.raises(KeyboardInterrupt):
        train(cut, timed, tmp_path)
    monkeypatch.setattr("bench.zoo.train.loop.time", SimpleNamespace(monotonic=lambda: rest.clock))
    train(rest, timed, tmp_path)
    assert rest.left == 10**9 - (30 - 23)  # the time before counts
    assert torch.load(tmp_path / "state.pt", weights_only=True)["step"] == 30
    assert timed.rate(29, timed.done(29, 29.0)) < 0.1 * timed.lr  # and the rate falls with the time


def test_the_average_is_exported_and_the_line_is_found(tmp_path: Path) -> None:
    part = Line()
    train(part, schedule(300), tmp_path)
    assert part.exported["weight"].item() == pytest.approx(2, abs=0.05)
    last = torch.load(tmp_path / "state.pt", weights_only=True)
    assert last["step"] == 300
    assert torch.equal(part.exported["weight"], last["average"][0])
    assert not torch.equal(last["average"][0], last["weights"][0])


def test_the_learning_rate_warms_up_holds_and_falls() -> None:
    s = Schedule(steps=1000, batch=1, lr=1.0, warmup=100, decay_from=0.5, lr_end=0.1)
    rates = [s.rate(step, s.done(step, 0.0)) for step in range(1000)]
    assert rates[0] == pytest.approx(0.01)
    assert rates[100] == rates[499] == pytest.approx(1.0)
    assert rates[750] == pytest.approx(0.55, abs=0.01)
    assert rates[999] == pytest.approx(0.1, abs=0.01)
