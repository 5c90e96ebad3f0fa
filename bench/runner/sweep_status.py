"""How the jobs of one command ended, wherever they ran.

Hydra's launchers run jobs in other processes, or on other machines, and give no exit status back. So every job notes
its start and its end in a folder that the environment names; what began and never ended was killed.
"""

from __future__ import annotations

import contextlib
import json
import os
import tempfile
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.store import write_atomic

VARIABLE = "CLOAKBENCH_STATUSES"
KILLED = 137
"""The status of a job that has no end, as shells give it to what was killed."""


@dataclass
class End:
    """How one job ended.

    Attributes:
        overrides: what was set on its command line.
        status: its exit status.
        reason: why it never began to work; empty if it did.
    """

    overrides: str
    status: int
    reason: str = ""


@contextlib.contextmanager
def gathered(shared: Path | None) -> Iterator[Path]:
    """A folder for the notes of all jobs begun inside; deleted afterwards.

    Args:
        shared: where all machines of a sweep see it; None for jobs of this process.
    """
    if shared is not None:
        shared.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="statuses-", dir=shared) as folder:
        before, os.environ[VARIABLE] = os.environ.get(VARIABLE), str(Path(folder).resolve())
        try:
            yield Path(folder)
        finally:
            if before is None:
                del os.environ[VARIABLE]
            else:
                os.environ[VARIABLE] = before


@contextlib.contextmanager
def noted(overrides: Sequence[str]) -> Iterator[End]:
    """Note how a job ends: with what is entered meanwhile, or with status 1 if it raises."""
    end, note = End(" ".join(overrides), 1), Path(os.environ[VARIABLE]) / f"{uuid.uuid4().hex}.json"
    write_atomic(note, json.dumps([end.overrides, KILLED, "killed"]).encode())
    try:
        yield end
    finally:
        write_atomic(note, json.dumps([end.overrides, end.status, end.reason]).encode())


def ends(folder: Path) -> list[End]:
    """How all jobs ended, in the order of their overrides."""
    return sorted((End(*json.loads(note.read_text())) for note in folder.glob("*.json")), key=lambda end: end.overrides)
