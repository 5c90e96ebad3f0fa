"""What planning and bookkeeping cost beside computing: a run of many small cells, and the same again from the store.

python -m benchmarks.overhead            # about 1,000 cells, a quarter of an hour on a core
"""

from __future__ import annotations

import argparse
import io
import resource
import tempfile
import time
from pathlib import Path
from unittest.mock import patch

from rich.console import Console

from bench import record
from bench.compose import settings_of
from bench.data.synthetic import Synthetic
from bench.record import Record, load_all
from bench.run import run

TINY = ["attack=dreambooth", "attack.steps=1", "attack.batch=1", "model.steps=1", "protocol.images_per_prompt=1"]


def main() -> None:
    """Print the plan's size, seconds beside the stages, and how memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    wanted = parser.parse_args().cells
    people = len(Synthetic(limit=0).load(128).identities)
    budgets = list(range(1, max(1, round(wanted / people) - 2) + 1))
    with tempfile.TemporaryDirectory() as folder:
        words = [*TINY, "data.limit=0", "suite.defenses=[none,noise]", f"suite.budgets={budgets}"]
        words += ["workers=1", "threads=1", "logger=none", f"out={folder}/out", f"store={folder}/store"]
        first, memory = timed(words)
        records = load_all(Path(folder) / "out")
        computing = sum(stage.seconds for r in records for stage in r.stages.values() if not stage.cached)
        again, _ = timed(words)
    cells = len(records)
    print(f"{cells} cells of {people} people")
    print(f"first time   {first:7.1f} s, {computing:.1f} s of them in stages")
    print(f"from the store {again:5.1f} s, {again / cells * 1000:.1f} ms a cell")
    print(f"memory {memory[cells // 10]:.0f} MB after a tenth, {memory[-1]:.0f} MB at the end")


def timed(words: list[str]) -> tuple[float, list[float]]:
    """Seconds of a run, and the process's peak memory in MB after each cell."""
    memory: list[float] = []
    save = record.save

    def watched(done: Record, folder: Path) -> None:
        save(done, folder)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    start = time.perf_counter()
    with patch.object(record, "save", watched):
        run(settings_of(words), Console(file=io.StringIO()))
    return time.perf_counter() - start, memory


if __name__ == "__main__":
    main()
