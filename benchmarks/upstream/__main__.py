"""Run all comparisons; see the package."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from benchmarks.upstream import flow, instantid, ip_adapter, photomaker, training

AIM = 1e-5
PARTS = {
    "ip_adapter": ip_adapter.compare,
    "photomaker": photomaker.compare,
    "instantid": instantid.compare,
    "training": training.compare,
    "flow": flow.compare,
}


def main() -> int:
    """Compare, print a table, and say whether all is within the aim."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.upstream", description=__doc__)
    parser.add_argument("clones", type=Path, help="folder with IP-Adapter/, PhotoMaker/ and diffusers/")
    parser.add_argument("--only", choices=PARTS, nargs="*", default=list(PARTS))
    parser.add_argument("--seconds", action="store_true", help="how fast the trainings are instead, ten minutes")
    chosen = parser.parse_args()
    if chosen.seconds:
        return _seconds(chosen.clones)
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("reference", "what", "largest difference", "effect"):
        table.add_column(name)
    worst = 0.0
    for name in chosen.only:
        with tempfile.TemporaryDirectory() as folder:
            for found in PARTS[name](chosen.clones, Path(folder)):
                worst = max(worst, found.difference)
                table.add_row(found.reference, found.what, f"{found.difference:.1e}", f"{found.effect:.1e}")
    Console().print(table)
    return int(worst > AIM)


def _seconds(clones: Path) -> int:
    table = Table("training", "script, s a step", "ours", "times as fast", box=box.SIMPLE_HEAD)
    with tempfile.TemporaryDirectory() as folder:
        for name, theirs, ours in training.seconds(clones, Path(folder)):
            table.add_row(name, f"{theirs:.3f}", f"{ours:.3f}", f"{theirs / ours:.2f}")
    Console().print(table)
    return 0


if __name__ == "__main__":
    sys.exit(main())
