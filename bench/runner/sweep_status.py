"""How the jobs of one command ended, wherever they ran.

Hydra's launchers run jobs in other processes, or on other machines, and give no exit status back. So every job notes
its start and its end in a folder that the environment names; what began and never ended was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import tempfile
import time
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from bench.core.paths import expanded
from bench.store import write_atomic

VARIABLE = "CLOAKBENCH_STATUSES"
ABOUT = "about"
"""File in the folder of a sweep's notes: machine, process, number of jobs."""
KILLED = 137
"""The status of a job that has no end, as shells give it to what was killed."""


@dataclass
class End:
    """How one job ended, or how far it is.

    Attributes:
        overrides: what was set on its command line.
        status: its exit status.
        reason: why it never began to work; empty if it did.
        out: its folder; empty as long as it has none.
        warnings: what it said before it began.
        started: when, in seconds of the epoch.
    """

    overrides: str
    status: int
    reason: str = ""
    out: str = ""
    warnings: tuple[str, ...] = ()
    started: float = field(default=0.0, compare=False)


@dataclass
class Job(End):
    """A job under way, which notes what becomes of it."""

    note: Path = field(default=Path(), compare=False, repr=False)

    def begin(self, out: Path, warnings: Sequence[str]) -> list[str]:
        """Note where it works, and what it warns of; of the warnings those that no other job has told."""
        told = {line for other in ends(self.note.parent) for line in other.warnings}
        self.out, self.warnings = str(out.resolve()), tuple(warnings)
        self.save(KILLED, "killed")
        return [line for line in warnings if line not in told]

    def save(self, status: int, reason: str) -> None:
        """Write the note."""
        known = [self.overrides, status, reason, self.out, self.warnings, self.started]
        write_atomic(self.note, json.dumps(known).encode())


@dataclass(frozen=True)
class Sweep:
    """A sweep under way.

    Attributes:
        folder: of the notes of its jobs.
        jobs: how many it has; None if nobody knows.
    """

    folder: Path
    jobs: int | None

    @property
    def last(self) -> End | None:
        """The job that was begun last; None before the first."""
        return max(ends(self.folder), key=lambda end: end.started, default=None)

    def place(self) -> str:
        """How far it is: "job 2 of 4: budget=8"."""
        begun = len(ends(self.folder))
        return f"job {begun} of {self.jobs or '?'}" + (f": {self.last.overrides}" if self.last else "")


def sweeps_folder() -> Path:
    """Where all machines of a sweep see its notes."""
    return expanded(os.environ.get("CLOAKBENCH_SWEEPS") or "runs/.sweeps")


def under_way(shared: Path) -> Sweep | None:
    """The sweep that was begun last and whose process lives, or may live on another machine; None if there is none."""
    for file in sorted(shared.glob(f"statuses-*/{ABOUT}"), key=lambda file: file.stat().st_mtime, reverse=True):
        host, process, jobs = json.loads(file.read_text())
        if host != platform.node() or _lives(process):
            return Sweep(file.parent, jobs)
    return None


def _lives(process: int) -> bool:
    """Whether a process of this machine is there, whosever it is."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


@contextlib.contextmanager
def gathered(shared: Path | None, jobs: int | None = None) -> Iterator[Path]:
    """A folder for the notes of all jobs begun inside; deleted afterwards.

    Args:
        shared: where all machines of a sweep see it; None for jobs of this process.
        jobs: how many there will be, if that is known.
    """
    if shared is not None:
        shared.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="statuses-", dir=shared) as folder:
        write_atomic(Path(folder) / ABOUT, json.dumps([platform.node(), os.getpid(), jobs]).encode())
        before, os.environ[VARIABLE] = os.environ.get(VARIABLE), str(Path(folder).resolve())
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


@contextlib.contextmanager
def noted(overrides: Sequence[str]) -> Iterator[Job]:
    """Note how a job ends: with what is entered meanwhile, or with status 1 if it raises."""
    note = Path(os.environ[VARIABLE]) / f"{uuid.uuid4().hex}.json"
    job = Job(" ".join(overrides), 1, started=time.time(), note=note)
    job.save(KILLED, "killed")
    try:
        yield job
    finally:
        job.save(job.status, job.reason)


def ends(folder: Path) -> list[End]:
    """How all jobs ended, in the order of their overrides."""
    jobs = []
    for note in folder.glob("*.json"):
        overrides, status, reason, out, warnings, started = json.loads(note.read_text())
        jobs.append(End(overrides, status, reason, out, tuple(warnings), started))
    return sorted(jobs, key=lambda end: end.overrides)
