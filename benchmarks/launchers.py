"""One sweep by every launcher: the same scores, and how long it takes beside each job alone, without a store to share.

    pip install 'cloakbench[joblib,slurm,ray]'
    python -m benchmarks.launchers                          # two defenses, two attacks, one person: some minutes
    python -m benchmarks.launchers defense=mist,photoguard,aspl,dladiff data.limit=3 \\
        attack=dreambooth,lora,textual_inversion,ip_adapter,photomaker,instantid

Launchers that are not installed are left out, and named.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from importlib.util import find_spec
from itertools import product
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.record import load_all

SMALL = ["defense=photoguard,mist", "attack=ip_adapter,instantid", "data.limit=1"]
LAUNCHERS: dict[str, tuple[str, list[str]]] = {
    "joblib, 2 workers": ("joblib", ["hydra/launcher=joblib", "hydra.launcher.n_jobs=2"]),
    "submitit, local": ("submitit", ["hydra/launcher=submitit_local", "hydra.launcher.cpus_per_task=1"]),
    "Ray, 2 workers": ("ray", ["hydra/launcher=ray", "+hydra.launcher.ray.init.num_cpus=2"]),
}
"""What it is called -> the plug-in of Hydra, and what is set."""

Scores = dict[str, tuple[str, dict[str, float | None]]]
"""Cell -> status and metrics."""


def main(words: Sequence[str]) -> int:
    """Print a line for every way; the exit status is 1 if any gives other scores than one job after another."""
    words = words or SMALL
    table = Table(title=" ".join(words), title_justify="left")
    for name in ("way", "seconds", "cells", "cells with other scores", "times as fast as alone"):
        table.add_column(name, justify="left" if name == "way" else "right")
    with tempfile.TemporaryDirectory() as folder:
        alone = sum(run(job, Path(folder) / f"alone-{number}") for number, job in enumerate(jobs(words)))
        table.add_row("each job alone, own store", f"{alone:.0f}", "", "", "1.0")
        expected, seconds = sweep([], words, Path(folder) / "inline")
        table.add_row("one after another", f"{seconds:.0f}", str(len(expected)), "", f"{alone / seconds:.1f}")
        wrong = 0
        for name, (plugin, settings) in LAUNCHERS.items():
            if not (find_spec("hydra_plugins") and find_spec(f"hydra_plugins.hydra_{plugin}_launcher")):
                table.add_row(name, "not installed")
                continue
            found, seconds = sweep(settings, words, Path(folder) / plugin)
            other = sum(found.get(cell) != scores for cell, scores in expected.items()) + len(found.keys() - expected)
            wrong += other
            table.add_row(name, f"{seconds:.0f}", str(len(found)), str(other), f"{alone / seconds:.1f}")
    Console(width=110).print(table)
    return 1 if wrong else 0


def jobs(words: Sequence[str]) -> list[list[str]]:
    """The command lines that a sweep consists of; words with a comma outside brackets have several values."""
    split = [[f"{key}={value}" for value in values.split(",")] for key, _, values in (w.partition("=") for w in words)]
    return [list(job) for job in product(*split)]


def sweep(settings: Sequence[str], words: Sequence[str], root: Path) -> tuple[Scores, float]:
    """Scores of a multirun with one store, and its seconds."""
    seconds = run(["-m", *settings, *words], root)
    return {r.cell: (r.status, r.metrics) for r in load_all(root / "out")}, seconds


def run(words: Sequence[str], root: Path) -> float:
    """Seconds of `python -m bench`, with one worker a job.

    Raises:
        RuntimeError: it failed.
    """
    places = [f"out={root}/out", f"store={root}/store", "logger=none", "workers=1", "threads=1"]
    environment = {**os.environ, "CLOAKBENCH_SWEEPS": str(root / "sweeps"), "RAY_worker_niceness": "0"}
    start = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", "bench", *words, *places], env=environment, capture_output=True, text=True, check=False
    )
    if done.returncode:
        raise RuntimeError(f"{' '.join(words)}: status {done.returncode}\n{done.stderr[-2000:]}")
    return time.perf_counter() - start


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
