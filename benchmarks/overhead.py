"""What planning and executing cost beside computing: a run of many small cells, and the same again from the store.

Time is told apart by what is going on:

computing    everything whose result the store keeps, judging and measuring included
scoring      reading pictures and what was seen in them, and the metrics made of that
report       what is written and printed at the end: intervals, tests, tiers, the contact sheet
executing    all the rest: settings, plan, keys, locks, the store's own work, records

Libraries and networks are loaded by a small run beforehand, for which a run of many cells waits no longer than a run of
one.

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
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from unittest.mock import patch

from rich.console import Console

from bench.config.compose import settings_of
from bench.core import numbered
from bench.data.synthetic import Synthetic
from bench.evaluation import detections
from bench.evaluation.scorer import Scorer
from bench.results import record
from bench.results.record import Record
from bench.runner import run
from bench.runner.pipeline import Pipeline
from bench.store import Entry, Store

SCORING = ((Scorer, "score"), (Pipeline, "problem"), (numbered, "load"), (detections, "load"))
REPORT = ((run, "collect"), (run, "conclude"), (record, "load_all"))
KINDS = ("computing", "executing", "scoring", "report")


def main() -> None:
    """Print the plan's size, where the time goes, and how memory grows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cells", type=int, default=1000)
    parser.add_argument("--attack", default="lora", choices=["lora", "dreambooth"])
    asked = parser.parse_args()
    people = len(Synthetic(limit=0).load(128).identities)
    budgets = list(range(1, max(1, round(asked.cells / people) - 2) + 1))
    with tempfile.TemporaryDirectory() as folder:
        both = [*tiny(asked.attack), "suite.defenses=[none,noise]", "workers=1", "threads=1", "logger=none"]
        before, _ = timed([*both, "data.limit=1", f"out={folder}/one", f"store={folder}/small"])
        words = [*both, "data.limit=0", f"suite.budgets={budgets}", f"out={folder}/out", f"store={folder}/store"]
        first, memory = timed(words)
        again, _ = timed(words)
    cells = len(memory)
    print(f"{cells} cells of {people} people, {asked.attack}; {sum(before.values()):.1f} s for a small run beforehand")
    print(f"{'ms a cell':15}" + "".join(f"{kind:>11}" for kind in KINDS) + f"{'all':>11}")
    for name, spent in (("first time", first), ("from the store", again)):
        columns = [*spent.values(), sum(spent.values())]
        print(f"{name:15}" + "".join(f"{seconds / cells * 1000:11.1f}" for seconds in columns))
    print(f"executing is {first['executing'] / first['computing']:.1%} of computing")
    print(f"memory {memory[cells // 10]:.0f} MB after a tenth, {memory[-1]:.0f} MB at the end")


def tiny(attack: str) -> list[str]:
    """What to set for the smallest cells of an attack that trains."""
    return [f"attack={attack}", "attack.steps=1", "attack.batch=1", "model.steps=1", "protocol.images_per_prompt=1"]


class Watch:
    """Where the time goes: seconds by kind, each counted once, for the innermost kind; computing stays computing."""

    def __init__(self) -> None:
        self.spent = dict.fromkeys(KINDS, 0.0)
        self._kinds = ["executing"]
        self._since = time.perf_counter()

    def around(self, kind: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The function, whose time is of a kind."""

        def watched(*given: Any, **named: Any) -> Any:
            self.note()
            self._kinds.append("computing" if self._kinds[-1] == "computing" else kind)
            try:
                return function(*given, **named)
            finally:
                self.note()
                self._kinds.pop()

        return watched

    def note(self) -> None:
        """Count the time since the last note."""
        now = time.perf_counter()
        self.spent[self._kinds[-1]] += now - self._since
        self._since = now


def timed(words: list[str]) -> tuple[dict[str, float], list[float]]:
    """Seconds of a run by kind, and peak memory in MB after each cell."""
    memory: list[float] = []
    save, compute = record.save, Store.compute

    def watched_compute(store: Store, stage: str, key: str, work: Callable[[Path], None]) -> Entry:
        entry: Entry = watch.around("executing", compute)(store, stage, key, watch.around("computing", work))
        return entry

    def watched_save(done: Record, folder: Path) -> None:
        save(done, folder)
        memory.append(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)

    watch = Watch()
    with ExitStack() as stack:
        stack.enter_context(patch.object(record, "save", watched_save))
        stack.enter_context(patch.object(Store, "compute", watched_compute))
        for kind, places in (("scoring", SCORING), ("report", REPORT)):
            for owner, name in places:
                stack.enter_context(patch.object(owner, name, watch.around(kind, getattr(owner, name))))
        run.run(settings_of(words), Console(file=io.StringIO()))
    watch.note()
    return watch.spent, memory


if __name__ == "__main__":
    main()
