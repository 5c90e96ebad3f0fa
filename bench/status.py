"""How far a run has come, what went wrong, and how to do it again.

    python -m bench.status [runs/<run>] [--watch]     default: the run, or the sweep, that was begun last

Without a folder it follows a sweep from job to job. Can be asked at any time, from any machine that sees the folder.
Exit status 0 only if every cell is ok.
"""

from __future__ import annotations

import contextlib
import datetime
import sys
import time
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from rich.console import Group
from rich.live import Live
from rich.text import Text

from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.core.terminal import terminal
from bench.results.manifest import FILE
from bench.results.progress import Progress, progress
from bench.runner.sweep_status import Sweep, sweeps_folder, under_way

EVERY = 2.0
"""Seconds between two looks."""
SHOWN = 5
"""Labels that are listed before it becomes "and 20 more"."""


def main(arguments: Sequence[str]) -> int:
    """Print the state of a run, once or until its end."""
    parser = ArgumentParser("bench.status", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("run", nargs="?", type=expanded, help="the run's folder")
    parser.add_argument("--watch", action="store_true", help="until every cell is done")
    options = parser.parse_args(arguments)
    out, found, sweep = look(options.run)
    console = terminal()
    if not options.watch:
        console.print(view(out, found, sweep), soft_wrap=True)  # commands are there to be copied
        return _status(found)
    first = Live(view(out, found, sweep), console=console, auto_refresh=False)
    with first as live, contextlib.suppress(KeyboardInterrupt):
        while found.missing or sweep:
            time.sleep(EVERY)
            out, found, sweep = look(options.run or (None if sweep else out))
            live.update(view(out, found, sweep), refresh=True)
    return _status(found)


def look(run: Path | None) -> tuple[Path, Progress, Sweep | None]:
    """A run, its state, and the sweep that it is a part of; without a run, what was begun last.

    Raises:
        BenchError: there is none.
    """
    sweep = None if run else under_way(sweeps_folder())
    job = sweep.last if sweep else None
    if job and job.out and (Path(job.out) / FILE).is_file():
        run = Path(job.out)
    out = run or latest(Path("runs"))
    return out, progress(out, time.time()), sweep


def latest(runs: Path) -> Path:
    """The run that was begun last.

    Raises:
        BenchError: there is none.
    """
    found = sorted(runs.glob(f"*/{FILE}"), key=lambda file: file.stat().st_mtime)
    if not found:
        raise BenchError(f"There are no runs in {runs}.", "Give a run's folder: python -m bench.status runs/<run>")
    return found[-1].parent


def view(out: Path, found: Progress, sweep: Sweep | None = None) -> Group:
    """What is printed."""
    done = sum(found.statuses.values())
    counts = ", ".join(f"{count} {status}" for status, count in sorted(found.statuses.items()))
    lines = [Text(sweep.place(), style="bold")] if sweep else []
    lines += [
        Text(f"{out}: {'running' if found.running else 'not running'}", style="bold"),
        Text(
            f"{done} of {done if found.planned is None else found.planned} cells done"
            + (f": {counts}" if counts else "")
        ),
    ]
    if found.planned is None:
        lines.append(Text(f"There is no {FILE}, so what is missing is not known."))
    if found.missing:
        lines.append(Text(f"missing: {_some(found.missing)}"))
    if found.rate:
        left = "" if found.left is None else f", about {datetime.timedelta(seconds=round(found.left))} left"
        lines.append(Text(f"{found.rate * 3600:.3g} cells an hour{left}"))
    if found.others:
        lines.append(Text(f"{found.others} more records are of earlier commands with this folder."))
    for failure in found.failures:
        lines.append(Text(f"{failure.status}: {_some(failure.cells)}", style="bold red"))
        lines.append(Text(f"  {failure.reason}"))
        if failure.command:
            lines.append(Text(f"  again: {failure.command}"))
    return Group(*lines)


def _some(labels: Sequence[str]) -> str:
    more = f" and {len(labels) - SHOWN} more" if len(labels) > SHOWN else ""
    return "; ".join(labels[:SHOWN]) + more


def _status(found: Progress) -> int:
    return 0 if not found.missing and set(found.statuses) <= {"ok"} else 1


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
