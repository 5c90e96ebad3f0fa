"""What goes wrong with a run, provoked for real: what it then says, and what is lost.

python -m benchmarks.faults              # some minutes; the two that need a small disk need root, on Linux
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from bench.results.record import load_all
from benchmarks.overhead import tiny

WORDS = [*tiny("dreambooth"), "data.limit=2", "suite.budgets=[8]", "workers=1", "threads=1"]
CLOAKS = "suite.defenses=[none,noise]"
PLUGIN = """
import os, signal, time
from dataclasses import dataclass
from defenses import DEFENSES, Defense

@DEFENSES.register("bad")
@dataclass(frozen=True)
class Bad(Defense):
    "Goes wrong in one of several ways."
    how: str = "raises"

    def protect(self, photos, context):
        if self.how == "is killed":
            os.kill(os.getpid(), signal.SIGKILL)  # as the kernel does when memory runs out
        if self.how == "hangs":
            time.sleep(3600)
        if self.how == "returns NaN":
            return photos * float("nan")
        raise RuntimeError("a bug")
"""
Scores = dict[str, tuple[str, dict[str, float | None]]]
"""Cell -> status and metrics."""


class Said(NamedTuple):
    """How a command ended."""

    status: int
    text: str


class Fault(NamedTuple):
    """Something that goes wrong.

    Attributes:
        name: what.
        provoke: does it to a run in a folder, and gives how the command ended.
    """

    name: str
    provoke: Callable[[Path], Said]


def main() -> None:
    """Print a line for every fault, as Markdown."""
    print("| fault | exit status | what the run says | records lost | seconds |\n|---|---|---|---|---|")
    with tempfile.TemporaryDirectory() as scratch:
        alone = Path(scratch) / "alone"
        assert bench(alone).status == 0
        expected = scores(alone)
        for number, fault in enumerate(FAULTS):
            folder = Path(scratch) / f"fault-{number}"
            began = time.perf_counter()
            with small_disk(folder) if "disk" in fault.name else contextlib.nullcontext():
                said = fault.provoke(folder)
                again = bench(folder)  # the same command once more, as a user would
                found = scores(folder)
            lost = sum(found.get(cell) != record for cell, record in expected.items()) + (again.status != 0)
            seconds = time.perf_counter() - began
            words = said.text.replace(str(folder), "...").replace("|", "\\|")
            print(f"| {fault.name} | {said.status} | {words} | {lost} of {len(expected)} | {seconds:.0f} |", flush=True)


def start(folder: Path, *words: str, **environment: str) -> subprocess.Popen[str]:
    """`python -m bench` in a session of its own."""
    places = [f"out={folder}/out", f"store={folder}/store"]
    logger = [] if any(word.startswith("logger") for word in words) else ["logger=none"]
    suite = [] if any(word.startswith("suite.defenses") for word in words) else [CLOAKS]
    return subprocess.Popen(
        [sys.executable, "-m", "bench", *WORDS, *suite, *logger, *places, *words],
        env={**os.environ, **environment},
        start_new_session=True,
        preexec_fn=_heed_interrupts,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def _heed_interrupts() -> None:
    """What was started in the background of a shell ignores Ctrl-C, and so would its children."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


def ended(process: subprocess.Popen[str]) -> Said:
    """Its status, and the line that says what was wrong, if there is one."""
    text, _ = process.communicate()
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    telling = [line for line in lines if line.startswith(TELLING) and not any(words in line for words in USUAL)]
    return Said(process.returncode, (telling or [""])[0])


TELLING = ("Error: ", "failed: ", "wandb: ")
USUAL = ("leaks only", "have no result")
"""What lines worth showing begin with, and what is true of all these runs or said again below."""


def bench(folder: Path, *words: str, **environment: str) -> Said:
    """`python -m bench`, to its end."""
    return ended(start(folder, *words, **environment))


def scores(folder: Path) -> Scores:
    """Of every record."""
    return {r.cell: (r.status, r.metrics) for r in load_all(folder / "out")}


@contextlib.contextmanager
def small_disk(folder: Path) -> Iterator[None]:
    """A file system of its own, too small for a run."""
    folder.mkdir()
    mounted("-t", "tmpfs", "-o", "size=300k", "tmpfs", folder)
    try:
        yield
    finally:
        subprocess.run(["umount", folder], check=True)


def mounted(*words: str | Path) -> None:
    """Mount, or change how something is mounted."""
    subprocess.run(["mount", *words], check=True)


def full(folder: Path) -> Said:
    """The disk fills in the middle of the run; then there is room."""
    said = bench(folder)
    mounted("-o", "remount,size=1g", folder)
    return said


def read_only(folder: Path) -> Said:
    """The disk cannot be written to when a half-done run goes on; then it can."""
    mounted("-o", "remount,size=1g", folder)
    half_done(folder)
    mounted("-o", "remount,ro", folder)
    said = bench(folder)
    mounted("-o", "remount,rw", folder)
    return said


def half_done(folder: Path) -> None:
    """A run that was killed after its first record."""
    running = start(folder)
    begun(folder)
    os.killpg(running.pid, signal.SIGKILL)
    ended(running)


def begun(folder: Path) -> None:
    """Wait until a run has made its first record."""
    while not list(folder.glob("out/cells/*.json")):
        time.sleep(0.01)


def at_once(folder: Path) -> Said:
    """A second command of the same words while the first is at work."""
    first, second = start(folder), start(folder)
    return max(ended(first), ended(second))


def interrupt(folder: Path) -> Said:
    """Ctrl-C after the first record."""
    running = start(folder)
    begun(folder)
    os.killpg(running.pid, signal.SIGINT)
    return ended(running)


def flipped(folder: Path) -> Said:
    """A byte of every file in the store is changed, and the records are gone."""
    bench(folder)
    for file in [path for path in (folder / "store").rglob("*") if path.is_file() and path.stat().st_size]:
        data = bytearray(file.read_bytes())
        data[len(data) // 2] ^= 1
        file.write_bytes(data)
    for record in (folder / "out" / "cells").iterdir():
        record.unlink()
    return bench(folder)


def cut(folder: Path) -> Said:
    """The table of pictures is cut in half."""
    bench(folder)
    file = folder / "out" / "images.parquet"
    file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    return bench(folder)


def set_back(folder: Path) -> Said:
    """All that is there was made tomorrow."""
    half_done(folder)
    tomorrow = time.time() + 24 * 3600
    for path in folder.rglob("*"):
        os.utime(path, (tomorrow, tomorrow))
    return bench(folder)


def unreachable(folder: Path) -> Said:
    """W&B is asked for, with a key, and does not answer."""
    nowhere = {"WANDB_BASE_URL": "http://127.0.0.1:9", "WANDB_API_KEY": "0" * 40, "WANDB_MODE": "online"}
    return bench(folder, "logger=wandb", **nowhere)


def plugin(how: str, *words: str) -> Callable[[Path], Said]:
    """A defense beside the others that goes wrong."""

    def provoke(folder: Path) -> Said:
        folder.mkdir(exist_ok=True)
        (folder / "bad.py").write_text(PLUGIN)
        bad = f"suite.defenses=[none,noise,{{name: bad, how: {how}}}]"
        return bench(folder, bad, f"plugins=[{folder}/bad.py]", *words)

    return provoke


FAULTS = (
    Fault("two commands at once", at_once),
    Fault("Ctrl-C", interrupt),
    Fault("full disk", full),
    Fault("read-only disk", read_only),
    Fault("a byte of every stored file flipped", flipped),
    Fault("images.parquet cut in half", cut),
    Fault("clock set back by a day", set_back),
    Fault("W&B does not answer", unreachable),
    Fault("a worker is killed", plugin("is killed", "workers=2")),
    Fault("a plug-in raises", plugin("raises")),
    Fault("a plug-in returns NaN", plugin("returns NaN")),
    Fault("a plug-in hangs", plugin("hangs", "timeout=20")),
)

if __name__ == "__main__":
    main()
