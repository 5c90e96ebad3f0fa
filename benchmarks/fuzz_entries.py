"""Entries that are wrong in every way that comes to mind: whatever they hold, a command refuses it or takes it.

    python -m benchmarks.fuzz_entries entries=20000 seed=0 seconds=3000       # half an hour on a core

A part of a reference entry is mutated (`benchmarks.mutations`), by a seed and a number that make it again; then
`validate`, `build` beside a good entry, and `verify` against a run of the same cells read it. A command may refuse it
in words, and nothing else: not raise, and not stumble ("is not understood": a check is missing). The good entry stays
on the page. Prints what happened how often, the slowest, in seconds of computing, which others' work on the machine
does not lengthen, and the most memory: the peak of the whole process.
"""

from __future__ import annotations

import io
import re
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from unittest.mock import patch

from rich.console import Console

from bench.core.errors import BenchError
from bench.results.record import Record, save
from benchmarks.mutations import mutated, plain, written
from leaderboard.review.validate import validate
from leaderboard.review.verify import verify
from leaderboard.site.build import build

RESULTS = Path(__file__).parent.parent / "results"
ENTRIES = {"reference-2-synthetic": "p03", "reference-synthetic": "p06"}
"""Entry -> the person whose cells are taken: one of either protocol."""
NOT_UNDERSTOOD = "is not understood"


@dataclass
class Found:
    """What the commands did.

    Attributes:
        counts: command -> taken, refused, stumbled, raised.
        wrong: of those that stumbled or raised: number of the entry, its mutations, the command and what it said.
        slowest: command -> most seconds of computing, and of which entry.
        most: megabytes, and of which entry.
    """

    counts: dict[str, Counter[str]] = field(default_factory=dict)
    wrong: list[str] = field(default_factory=list)
    slowest: dict[str, tuple[float, int]] = field(default_factory=dict)
    most: tuple[float, int] = (0.0, 0)


def fuzz(entries: int, seed: int, seconds: float = float("inf")) -> Found:
    """Try so many entries, or as many as there is time for."""
    found, start = Found(), time.perf_counter()
    with tempfile.TemporaryDirectory() as folder, patch("leaderboard.site.build.shutil.copytree"):  # scripts, each time
        stage = _Stage(Path(folder))
        for number in range(entries):
            if time.perf_counter() - start > seconds:
                break
            if number and number % 1000 == 0:
                print(f"{number} entries: {found}", file=sys.stderr, flush=True)
            random = Random(f"{seed} {number}")
            draft = random.choice(stage.drafts)
            for name, verdict, took in stage.tried(path := written(mutated(draft, random), stage.results, random)):
                found.counts.setdefault(name, Counter())[verdict.partition(":")[0]] += 1
                if verdict.startswith(("stumbled", "raised")):
                    found.wrong.append(f"{number}, {path.name}, {name} {verdict}")
                found.slowest[name] = max(found.slowest.get(name, (0.0, 0)), (took, number))
            if (peak := _peak_megabytes()) > found.most[0]:
                found.most = (peak, number)
    return found


class _Stage:
    """A folder of results with a good entry, runs to verify with, and the entries to mutate."""

    def __init__(self, folder: Path) -> None:
        self.results, self._site, self._folder = folder / "results", folder / "site", folder
        self.drafts = [plain(RESULTS / name, "mine", person) for name, person in ENTRIES.items()]
        written(plain(RESULTS / "reference-2-synthetic", "good", "p03"), self.results, None)
        for draft in self.drafts:
            for record in draft.records:
                save(Record.model_validate(record), folder / "run" / "cells")

    def tried(self, path: Path) -> Iterator[tuple[str, str, float]]:
        """Command, what it did, and its seconds of computing."""
        commands: dict[str, Callable[[Path], str]] = {
            "validate": self._validate,
            "build": self._build,
            "verify": self._verify,
        }
        for name, command in commands.items():
            start = time.process_time()
            try:
                verdict = command(path)
            except Exception as error:
                verdict = f"raised: {type(error).__name__}: {error}"
            yield name, verdict, time.process_time() - start

    def _validate(self, path: Path) -> str:
        return _verdict([str(problem) for problem in validate(path).problems])

    def _build(self, path: Path) -> str:
        problems = build(self.results, self._site)
        if '\\"good\\":{' not in (self._site / "data.js").read_text():
            return "raised: the good entry is not on the page"
        return _verdict([str(problem) for problem in problems])

    def _verify(self, path: Path) -> str:
        try:
            console = Console(file=io.StringIO(), width=200)
            status = verify(self._folder / "run", self._folder / "store", path, None, "", console)
        except BenchError as error:
            return _verdict([str(error)])
        return "refused" if status else "taken"


def _verdict(problems: list[str]) -> str:
    for problem in problems:
        if NOT_UNDERSTOOD in problem:
            return f"stumbled: {problem}"
    return "refused" if problems else "taken"


def _peak_megabytes() -> float:
    """Of the process so far."""
    from resource import RUSAGE_SELF, getrusage

    return getrusage(RUSAGE_SELF).ru_maxrss / 1024


def main(words: list[str]) -> int:
    """Print what was found; 1 if anything is wrong."""
    asked = {"entries": 20_000, "seed": 0, "seconds": 3_000}
    for word in words:
        name, _, value = word.partition("=")
        if name not in asked or not re.fullmatch(r"\d+", value):
            raise SystemExit(f"{word}: give {', '.join(f'{n}=<number>' for n in asked)}")
        asked[name] = int(value)
    found = fuzz(**asked)
    for name, counts in found.counts.items():
        took, number = found.slowest[name]
        each = ", ".join(f"{count} {what}" for what, count in sorted(counts.items()))
        print(f"{name}: {counts.total()} entries: {each}; the slowest {took:.2f} s (entry {number})")
    print(f"memory: {found.most[0]:.0f} MB at most (reached by entry {found.most[1]})")
    for line in found.wrong[:50]:
        print(line)
    return 1 if found.wrong else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
