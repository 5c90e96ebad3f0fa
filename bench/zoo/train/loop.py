"""The one training loop of the family: checkpoints, resuming, moving average, sample grids.

A training is a `Part`. Every step draws its randomness from (seed, step), so a training that was interrupted goes on as
if nothing had happened, up to the order of floating-point sums.
"""

from __future__ import annotations

import math
import shutil
import signal
import time
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from threading import Event
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from bench.core.images import to_pixels
from bench.core.seeding import generator
from bench.zoo.train.precision import device

STATE = "state.pt"
"""The checkpoint in a training's folder."""
FINAL = "final"
"""The finished weights' folder in a training's folder: complete, if it is there."""
STOPPED = 128 + signal.SIGTERM
"""Exit status of a training that was told to end before it was done, and saved its checkpoint."""


@dataclass(frozen=True)
class Schedule:
    """How long and how fast.

    Attributes:
        steps: optimiser steps.
        minutes: end after this time instead, whatever `steps` says: where a machine is lent for so long. What was spent
            before an interruption counts. None: by steps, and so repeatable.
        batch: examples per step.
        lr: highest learning rate of AdamW.
        warmup: steps of linear warm-up.
        decay_from: share of the training after which the rate falls, as a half cosine, to `lr_end` times the highest.
        lr_end: share of the highest rate at the last step.
        weight_decay: of AdamW.
        ema: largest factor of the exponential moving average of the weights, which is what is exported.
        seed: of everything random.
        save_minutes: time between checkpoints.
        grid_every: steps between sample grids; 0 for none.
        log_every: steps between lines of the log.
    """

    steps: int
    batch: int
    lr: float
    minutes: float | None = None
    warmup: int = 200
    decay_from: float = 0.4
    lr_end: float = 0.02
    weight_decay: float = 0.01
    ema: float = 0.9995
    seed: int = 0
    save_minutes: float = 5.0
    grid_every: int = 2000
    log_every: int = 200

    def done(self, step: int, seconds: float) -> float:
        """The share of the training that is done before a step, after so many seconds."""
        return step / self.steps if self.minutes is None else seconds / (60 * self.minutes)

    def rate(self, step: int, done: float) -> float:
        """The learning rate of a step, when a share of the training is done."""
        warm = min(1.0, (step + 1) / max(1, self.warmup))
        decayed = max(0.0, (done - self.decay_from) / (1 - self.decay_from))
        return self.lr * warm * (self.lr_end + (1 - self.lr_end) * (1 + math.cos(math.pi * decayed)) / 2)


class Part(ABC):
    """One thing to train.

    Attributes:
        module: the trainable weights; only those with `requires_grad` are trained and saved in checkpoints.
    """

    module: Any  # an nn.Module; the stock models' own methods are not typed

    @abstractmethod
    def loss(self, count: int, random: torch.Generator) -> Tensor:
        """The loss of one fresh batch of `count` examples."""

    @abstractmethod
    def export(self, folder: Path) -> None:
        """Save the finished weights (the moving average is in `module` when this is called)."""

    def grid(self) -> Tensor | None:
        """Some results to look at: (n, 3, h, w) in [0, 1], eight a row."""
        return None

    def report(self) -> str:
        """Figures on held-out examples, for the log."""
        return ""


def train(part: Part, schedule: Schedule, out: Path) -> None:
    """Train to the end of the schedule, resuming from its checkpoint there, then export to `out/final`.

    Raises:
        SystemExit: with `STOPPED`, after saving a checkpoint, when the process was asked to end (SIGTERM).
    """
    with asked_to_end() as asked:
        _train(part, schedule, out, asked)


def _train(part: Part, schedule: Schedule, out: Path, asked: Event) -> None:
    out.mkdir(parents=True, exist_ok=True)
    part.module.to(device())
    weights = [p for p in part.module.parameters() if p.requires_grad]
    optimiser = torch.optim.AdamW(weights, lr=schedule.lr, weight_decay=schedule.weight_decay, betas=(0.9, 0.99))
    average = [w.detach().clone() for w in weights]
    step, spent = _resume(out / STATE, weights, average, optimiser)
    length = f"{schedule.minutes} minutes" if schedule.minutes else f"{schedule.steps} steps"
    print(f"{sum(w.numel() for w in weights) / 1e6:.2f} M weights, from step {step}, {length} in all", flush=True)
    losses: deque[float] = deque(maxlen=schedule.log_every)
    start, before, began = step, schedule.done(step, spent), time.monotonic() - spent
    saved = time.monotonic()
    while (done := schedule.done(step, time.monotonic() - began)) < 1:
        rate = schedule.rate(step, done)
        for group in optimiser.param_groups:
            group["lr"] = rate
        loss = part.loss(schedule.batch, generator(schedule.seed, "train", step))
        optimiser.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimiser.step()
        with torch.no_grad():
            torch._foreach_lerp_(average, weights, 1 - min(schedule.ema, (step + 1) / (step + 10)))
        losses.append(loss.item())
        step += 1
        now = time.monotonic()
        if step % schedule.log_every == 0:
            took, share = now - began - spent, schedule.done(step, now - began)
            speed, left = (step - start) * schedule.batch / took, (1 - share) / (share - before) * took
            print(
                f"{step:6} loss {sum(losses) / len(losses):.4f} lr {rate:.1e} {speed:.1f}/s, {left / 60:.0f} min to go",
                flush=True,
            )
        if schedule.grid_every and step % schedule.grid_every == 0:
            _look(part, weights, average, out, step)
        if now - saved > 60 * schedule.save_minutes:
            _save(out / STATE, weights, average, optimiser, step, now - began)
            saved = now
        if asked.is_set():
            _save(out / STATE, weights, average, optimiser, step, now - began)
            print(f"asked to end: saved at step {step}", flush=True)
            raise SystemExit(STOPPED)
    _save(out / STATE, weights, average, optimiser, step, time.monotonic() - began)
    _look(part, weights, average, out, step)
    _swap(weights, average)
    _export(part, out)


@contextmanager
def asked_to_end() -> Iterator[Event]:
    """An event that is set once the process is sent SIGTERM, which is how machines that are taken back say so."""
    asked = Event()
    before = signal.signal(signal.SIGTERM, lambda *_: asked.set())
    try:
        yield asked
    finally:
        signal.signal(signal.SIGTERM, before)


def _export(part: Part, out: Path) -> None:
    """Write the finished weights; cut off, it leaves no folder that looks complete."""
    partial = out / f"{FINAL}.partial"
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    part.export(partial)
    shutil.rmtree(out / FINAL, ignore_errors=True)
    partial.rename(out / FINAL)


def untrained(out: Path) -> bool:
    """Whether a training has no checkpoint yet, and so starts from the part's weights as they are."""
    return not (out / STATE).exists()


def _look(part: Part, weights: list[Tensor], average: list[Tensor], out: Path, step: int) -> None:
    """Report and save a grid with the averaged weights."""
    _swap(weights, average)
    part.module.eval()
    with torch.no_grad():
        report, pictures = part.report(), part.grid()
    part.module.train()
    _swap(weights, average)
    if report:
        print(f"{step:6} held out: {report}", flush=True)
    if pictures is not None:
        save_grid(pictures, out / f"grid-{step:06}.png")


def save_grid(pictures: Tensor, file: Path, columns: int = 8) -> None:
    """Save (n, 3, h, w) in [0, 1] as one picture, eight a row; what does not fill a row is left out."""
    full = len(pictures) // columns * columns
    rows = [torch.cat(list(row), dim=-1) for row in pictures[:full].split(columns)]  # type: ignore[no-untyped-call]
    sheet = torch.cat(rows, dim=-2)
    Image.fromarray(to_pixels(sheet[None])[0]).save(file)


@torch.no_grad()
def _swap(weights: list[Tensor], average: list[Tensor]) -> None:
    for weight, mean in zip(weights, average, strict=True):
        kept = weight.detach().clone()
        weight.copy_(mean)
        mean.copy_(kept)


def _save(
    file: Path,
    weights: list[Tensor],
    average: list[Tensor],
    optimiser: torch.optim.Optimizer,
    step: int,
    seconds: float,
) -> None:
    state = {
        "step": step,
        "seconds": seconds,
        "weights": [w.detach() for w in weights],
        "average": average,
        "optimiser": optimiser.state_dict(),
    }
    partial = file.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(file)


@torch.no_grad()
def _resume(
    file: Path, weights: list[Any], average: list[Tensor], optimiser: torch.optim.Optimizer
) -> tuple[int, float]:
    """Load a checkpoint into everything; the step to go on from, and the seconds spent until then."""
    if not file.exists():
        return 0, 0.0
    state = torch.load(file, weights_only=True, map_location=device())
    for present, old in ((weights, state["weights"]), (average, state["average"])):
        for tensor, value in zip(present, old, strict=True):
            tensor.copy_(value)
    optimiser.load_state_dict(state["optimiser"])
    return int(state["step"]), float(state.get("seconds", 0.0))
