"""What a run loses when it is killed: kill -9 at random moments of every stage, go on, compare with one left alone.

python -m benchmarks.kills              # 100 kills, about ten minutes on a core
"""

from __future__ import annotations

import argparse
import contextlib
import io
import math
import os
import random
import shutil
import signal
import tempfile
import time
from collections import Counter
from pathlib import Path

from rich.console import Console

from bench.config.compose import settings_of
from bench.results.record import load_all
from bench.runner.run import run
from benchmarks.overhead import tiny

GRID = [
    *tiny("dreambooth"),
    "data.limit=6",
    "suite.defenses=[none,noise,{name: advdm, steps: 2}]",
    "suite.budgets=[8]",
    "countermeasure=jpeg",
]
"""Four cells of each of six people, through every stage."""
STAGES = ("protect", "counter", "fit", "generate", "faces")
LATEST = 0.5
"""Seconds from the beginning of an output to the death of the run, at most."""


def main() -> None:
    """Print in which stages the kills fell, and how many records differ from those of a run that was left alone."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=100)
    wanted = parser.parse_args().kills
    draw, hit, finished, different = random.Random(0), Counter[str](), 0, 0
    with tempfile.TemporaryDirectory() as folder:
        alone, killed = Path(folder) / "alone", Path(folder) / "killed"
        assert wait(start(alone))
        expected = scores(alone)
        while sum(hit.values()) < wanted:
            began = time.time()
            if wait(start(killed), draw.uniform(0, LATEST), killed / "store" / draw.choice(STAGES)):
                finished += 1
                different += scores(killed) != expected
                shutil.rmtree(killed)
            else:
                left = half_written(killed / "store", began)
                hit[left.parent.parent.name if left else "between two outputs"] += 1
        assert wait(start(killed))
        different += scores(killed) != expected
    print(f"{wanted} kills: " + ", ".join(f"{count} {stage}" for stage, count in sorted(hit.items())))
    print(f"{finished + 1} runs came to their end all the same, {different} with other records than the one left alone")
    print(f"{len(expected)} records each: status and every metric compared")


def start(root: Path) -> int:
    """Begin a run, or go on with it, in a process of its own; its number."""
    child = os.fork()
    if child:
        return child
    os.setsid()
    words = [*GRID, "workers=1", "threads=1", "logger=none", f"out={root}/out", f"store={root}/store"]
    try:
        os._exit(run(settings_of(words), Console(file=io.StringIO())))
    finally:
        os._exit(1)


def wait(child: int, most: float = math.inf, stage: Path | None = None) -> bool:
    """Whether a run ends by itself before so many seconds of its next output of a stage are over; else it is killed.

    Raises:
        RuntimeError: it ended badly.
    """
    began, end = time.time(), math.inf
    while time.monotonic() < end:
        if stage and end == math.inf and half_written(stage.parent, began, stage.name):
            end = time.monotonic() + most
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            if status:
                raise RuntimeError(f"A run ended with status {os.waitstatus_to_exitcode(status)}.")
            return True
        time.sleep(0.002)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def half_written(store: Path, since: float, stage: str = "*") -> Path | None:
    """The newest folder of an output that was begun since then and is not whole."""
    found: dict[Path, float] = {}
    for path in store.glob(f"{stage}/*/*.partial"):
        with contextlib.suppress(OSError):  # it is whole meanwhile
            found[path] = path.stat().st_mtime
    newest = max(found, key=found.__getitem__, default=None)
    return newest if newest and found[newest] >= since else None


def scores(root: Path) -> list[tuple[str, str, dict[str, float | None]]]:
    """Cell, status and metrics of every record."""
    return sorted((r.cell, r.status, r.metrics) for r in load_all(root / "out"))


if __name__ == "__main__":
    main()
