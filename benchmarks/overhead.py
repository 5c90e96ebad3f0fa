"""What planning and bookkeeping cost beside computing: a run of many small cells, and the same again from the store.

Computing is everything whose result the store keeps, judging and measuring included; the rest is planning, hashing,
records and the report. Libraries and networks are loaded by a small run beforehand, for which a run of many cells waits
no longer than a run of one.

python -m benchmarks.overhead                           # about 1,000 cells, a quarter of an hour on a core
python -m benchmarks.overhead --attack dreambooth       # its 38 MB of weights are hashed for every cell
"""

from __future__ import annotations

import argparse
import io
import resource
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

from bench import record
from bench.compose import settings_of
from bench.data.synthetic import Synthetic
from bench.record import Record
from bench.run import run
from bench.store import Entry, Store

TINY = ["attack.steps=1", "attack.batch=1", "model.steps=1", "protocol.images_per_prompt=1"]


def main() -> None:
    """Print the plan's size, seconds beside the stages, and how memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--attack", default="lora", choices=["lora", "dreambooth"])
    asked = parser.parse_args()
    wanted = asked.cells
    people = len(Synthetic(limit=0).load(128).identities)
    budgets = list(range(1, max(1, round(wanted / people) - 2) + 1))
    with tempfile.TemporaryDirectory() as folder:
        both = [*TINY, f"attack={asked.attack}", "suite.defenses=[none,noise]", "workers=1", "threads=1", "logger=none"]
        before, *_ = timed([*both, "data.limit=1", f"out={folder}/one", f"store={folder}/small"])
        words = [*both, "data.limit=0", f"suite.budgets={budgets}", f"out={folder}/out", f"store={folder}/store"]
        first, computing, memory = timed(words)
        again, *_ = timed(words)
    cells = len(memory)
    print(f"{cells} cells of {people} people, {asked.attack}; {before:.1f} s for a small run beforehand")
    print(f"first time     {first:5.1f} s, {computing:.1f} s of them computing what is stored")
    rest = first - computing
    print(f"               the rest is {rest / computing:.1%} of that, or {_each(rest, cells)}")
    print(f"from the store {again:5.1f} s, {_each(again, cells)}")
    print(f"memory {memory[cells // 10]:.0f} MB after a tenth, {memory[-1]:.0f} MB at the end")


def _each(seconds: float, cells: int) -> str:
    return f"{seconds / cells * 1000:.1f} ms a cell"


def timed(words: list[str]) -> tuple[float, float, list[float]]:
    """Seconds of a run, those that computed what the store then holds, and peak memory in MB after each cell."""
    memory: list[float] = []
    save, compute = record.save, Store.compute
    computing, depth = 0.0, 0

    def watched_compute(store: Store, stage: str, key: str, work: Callable[[Path], None]) -> Entry:
        def watched(folder: Path) -> None:
            nonlocal computing, depth
            start, depth = time.perf_counter(), depth + 1
            work(folder)
            depth -= 1
            computing += (time.perf_counter() - start) * (depth == 0)  # some work has other work done

        return compute(store, stage, key, watched)

    def watched(done: Record, folder: Path) -> None:
        save(done, folder)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    start = time.perf_counter()
    with patch.object(record, "save", watched), patch.object(Store, "compute", watched_compute):
        run(settings_of(words), Console(file=io.StringIO()))
    return time.perf_counter() - start, computing, memory


if __name__ == "__main__":
    main()
