"""Train the whole family with one command: `python -m bench.zoo.train.family out=work/zoo`.

The parts are data, in `conf/family.yaml`. Each is a process of its own, on a GPU if there is one: a finished part is
skipped, an interrupted one goes on from its checkpoint, a failed one ends everything with its name. Whatever ends it,
the same command goes on. Finished parts that the repository keeps (`parts/second`) are taken from there. At the end
`bench.zoo.evaluate` prints the figures of the new family.

    python -m bench.zoo.train.family out=work/zoo only=[id-a,detector] until=10:50
"""

from __future__ import annotations

import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from threading import Event

import hydra
import torch
from omegaconf import DictConfig

from bench.core.errors import BenchError, unknown_name
from bench.zoo.train.loop import FINAL, STATE, STOPPED, asked_to_end

ENDED = (STOPPED, -signal.SIGTERM)
"""Exit statuses of a process that was asked to end: it saved a checkpoint, or had none to save."""
LOOK = 0.5
"""Seconds between looks at the clock."""


@dataclass(frozen=True)
class FamilyPart:
    """One training, or another step of making the family.

    Attributes:
        name: of the part, and of its folder.
        command: of its process.
        folder: where its checkpoint is.
        done: what is there when it is finished.
        steps: of its training; 0 where it has none.
        hours: it takes, as far as is known beforehand.
    """

    name: str
    command: Sequence[str]
    folder: Path
    done: Path
    steps: int
    hours: float

    def left(self) -> tuple[int, float]:
        """Steps and hours that are left; hours at the speed of its checkpoint, where there is one."""
        if self.done.exists():
            return 0, 0.0
        if not (self.folder / STATE).exists():
            return self.steps, self.hours
        state = torch.load(self.folder / STATE, weights_only=True, mmap=True, map_location="cpu")
        steps = max(0, self.steps - int(state["step"]))
        return steps, state["seconds"] / max(1, state["step"]) * steps / 3600


def read_parts(config: DictConfig) -> list[FamilyPart]:
    """The parts of a configuration, those of `only` if it is given.

    Raises:
        BenchError: `only` names a part that there is not.
    """
    out, parts = Path(config.out), []
    for name, part in config.parts.items():
        steps = part.get("steps", 0)
        scheduled = [f"schedule.steps={steps}"] if steps else []
        command = [sys.executable, "-m", part.module, *part.get("arguments", []), f"zoo={out}", *scheduled]
        done = out / part.get("done", f"{name}/{FINAL}")
        parts.append(FamilyPart(name, command, out / name, done, steps, part.hours))
    names = [part.name for part in parts]
    for name in config.only or ():
        if name not in names:
            raise unknown_name("part", name, names)
    return [part for part in parts if not config.only or part.name in config.only]


def train_parts(parts: Sequence[FamilyPart], deadline: float = float("inf")) -> bool:
    """Train what is not finished, one part after the other, until a time of `time.time()`.

    Returns:
        Whether all are finished; False if it was asked to end before.

    Raises:
        BenchError: a part failed.
    """
    with asked_to_end() as asked:
        for part in parts:
            if part.done.exists():
                continue
            if asked.is_set() or time.time() >= deadline:
                return False
            print(f"\n{part.name}: {' '.join(part.command)}", flush=True)
            status = _run(part.command, deadline, asked)
            if status in ENDED:
                return False
            if status or not part.done.exists():
                what = f"ended with status {status}" if status else f"did not write {part.done}"
                raise BenchError(
                    f"The part {part.name!r} {what}.", "See above why. The same command goes on from there."
                )
    return True


def adopt_kept(parts: Sequence[FamilyPart], kept: Path) -> None:
    """Take what the repository keeps of the family as finished, so that a new machine trains nothing twice."""
    for part in parts:
        if (kept / part.name).is_dir() and not part.folder.exists():
            shutil.copytree(kept / part.name, part.folder / FINAL)
            print(f"{part.name}: taken from {kept / part.name}", flush=True)


def print_left(parts: Sequence[FamilyPart]) -> None:
    """Say what is left of every part."""
    left = {part.name: part.left() for part in parts if not part.done.exists()}
    for name, (steps, hours) in left.items():
        print(f"{name:18} {f'{steps} steps' if steps else '':>12} {hours:6.1f} hours")
    hours = sum(hours for _, hours in left.values())
    print(f"{len(parts) - len(left)} of {len(parts)} parts are finished, about {hours:.1f} hours left", flush=True)


def seconds_until(until: str | float | None, now: datetime) -> float:
    """Seconds from now until a time of day ("10:50", today or tomorrow), or so many minutes; None is never.

    Raises:
        BenchError: it is neither.
    """
    if until is None:
        return float("inf")
    try:
        if ":" not in str(until):
            return 60 * float(until)
        clock = datetime.strptime(str(until), "%H:%M").time()
    except ValueError:
        raise BenchError(f"until={until} is no time.", "Give a time of day, like 10:50, or minutes from now.") from None
    then = datetime.combine(now.date(), clock)
    return (then + timedelta(days=then <= now) - now).total_seconds()


def _run(command: Sequence[str], deadline: float, asked: Event) -> int:
    """Exit status of a process, which is asked to end at the deadline, or once this one is asked to."""
    process = subprocess.Popen(command)
    while True:
        try:
            return process.wait(timeout=LOOK)
        except subprocess.TimeoutExpired:
            if asked.is_set() or time.time() >= deadline:
                process.terminate()
                return process.wait()


@hydra.main(version_base=None, config_path="conf", config_name="family")
def main(config: DictConfig) -> None:
    """Train the family of the configuration."""
    deadline = time.time() + seconds_until(config.until, datetime.now())
    parts = read_parts(config)
    adopt_kept(parts, Path(config.kept))
    print_left(parts)
    if not train_parts(parts, deadline):
        print("\nStopped before the end; the same command goes on.")
        print_left(parts)
        return
    if not config.only:
        subprocess.run([sys.executable, "-m", "bench.zoo.evaluate", str(config.data), str(config.out)], check=True)


if __name__ == "__main__":
    main()
