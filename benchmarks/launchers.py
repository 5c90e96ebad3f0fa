"""One sweep by every launcher: the same scores, nothing done twice, and how long it takes beside each job alone,
without a store to share.

    pip install 'cloakbench[joblib,slurm,ray]'
    python -m benchmarks.launchers                          # two defenses, two attacks, one person: some minutes
    python -m benchmarks.launchers --at work/launchers data.limit=3 model.steps=5 protocol.images_per_prompt=1 \\
        'suite.defenses=[{name: mist, steps: 20}],[{name: photoguard, steps: 20}],[aspl],[dladiff]' \\
        'suite.attacks=[{name: dreambooth, steps: 20}],[{name: lora, steps: 20}],[ip_adapter],[instantid]'

Launchers that are not installed are left out, and named. What is finished in the folder `--at` is not done again. With
every step that methods take by default, a sweep of that size takes two hours and more.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench.results.record import Record, load_all
from bench.store import write_atomic

SMALL = ["defense=photoguard,mist", "attack=ip_adapter,instantid", "data.limit=1"]
LAUNCHERS: dict[str, tuple[str, list[str]]] = {
    "joblib, 2 workers": ("joblib", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
    "submitit, local, 2 at once": (
        "submitit",
        ["hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1", "hydra.sweeper.max_batch_size=2"],
    ),
    "Ray, 2 workers": ("ray", ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]),
}
"""What it is called -> the plug-in of Hydra, and what is set."""
DONE = "seconds.json"
"""In a finished way's folder."""


def main() -> int:
    """Print a line for every way; the exit status is 1 if any does work twice or gives other scores."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", type=Path, help="a folder to keep what is finished, and to go on from")
    parser.add_argument("words", nargs="*", default=SMALL, help="settings; with commas, several values of each")
    asked = parser.parse_args()
    table = Table(title=escape(" ".join(asked.words)), title_justify="left")
    for name in ("way", "seconds", "cells", "with other scores", "outputs made twice", "times as fast as alone"):
        table.add_column(name, justify="left" if name == "way" else "right")
    with tempfile.TemporaryDirectory() as folder:
        root = asked.at or Path(folder)
        alone = each_alone(asked.words, root)
        table.add_row("each job alone, own store", f"{alone:.0f}", "", "", "", "1.0")
        expected: list[Record] = []
        wrong = 0
        for name, (plugin, settings) in {"one after another": ("", list[str]()), **LAUNCHERS}.items():
            if plugin and not (find_spec("hydra_plugins") and find_spec(f"hydra_plugins.hydra_{plugin}_launcher")):
                table.add_row(name, "not installed")
                continue
            seconds = once(["-m", *settings, *asked.words], root / (plugin or "inline"))
            found = load_all(root / (plugin or "inline") / "out")
            expected = expected or found
            other, twice = differing(expected, found), made_twice(found)
            wrong += other + twice
            table.add_row(name, f"{seconds:.0f}", str(len(found)), str(other), str(twice), f"{alone / seconds:.1f}")
    Console(width=120).print(table)
    return 1 if wrong else 0


def differing(expected: Sequence[Record], found: Sequence[Record]) -> int:
    """How many cells are missing, are too many, or have another status or other scores."""
    one, other = ({r.cell: (r.status, r.metrics) for r in records} for records in (expected, found))
    return sum(one.get(cell) != other.get(cell) for cell in one.keys() | other.keys())


def made_twice(records: Sequence[Record]) -> int:
    """How many outputs more than one cell has computed; all others have taken them from the store."""
    made = Counter((stage, s.key) for r in records for stage, s in r.stages.items() if not s.cached)
    return sum(times > 1 for times in made.values())


def each_alone(words: Sequence[str], root: Path) -> float:
    """Seconds of all jobs of a sweep, each with a store of its own, two at a time; their sum."""
    jobs = list(product(*map(values, words)))
    with ThreadPoolExecutor(2) as two:
        return sum(two.map(lambda n: once(jobs[n], root / f"alone-{n}"), range(len(jobs))))


def values(word: str) -> list[str]:
    """A setting with each of its values, as `-m` would have them."""
    setting = OverridesParser.create().parse_override(word)
    key = setting.get_key_element()
    return [f"{key}={value}" for value in setting.sweep_string_iterator()] if setting.is_sweep_override() else [word]


def once(words: Sequence[str], root: Path) -> float:
    """Seconds of `python -m bench`, with one worker a job; those of before if it has been done here.

    Raises:
        RuntimeError: it failed.
    """
    if (root / DONE).exists():
        return float(json.loads((root / DONE).read_text()))
    shutil.rmtree(root, ignore_errors=True)  # a part of it, from a time that was interrupted
    places = [f"out={root}/out", f"store={root}/store", "logger=none", "workers=1", "threads=1"]
    environment = {**os.environ, "CLOAKBENCH_SWEEPS": str(root / "sweeps"), "RAY_worker_niceness": "0"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words, *places], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: status {done.returncode}\n{done.stderr[-2000:]}")
    seconds = time.perf_counter() - start
    write_atomic(root / DONE, json.dumps(seconds).encode())
    return seconds


if __name__ == "__main__":
    sys.exit(main())
