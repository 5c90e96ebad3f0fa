"""Scores computed again: from the artefacts of a run, and against a run of somebody else's entry.

From a run's own artefacts every number must come out the same. A second run gives the same bits on the same kind of
machine (tests/bench/runner/test_run.py). On another one rounding differs, training amplifies it, and single pictures
tip over: so cells may differ more, and their mean, which a systematic difference would move, less.

Of a cell of an entry everything is compared that the board shows, but its cost and, of one that failed, the words why:
that it is of the same methods, settings, base, data and seed (`review.stated`), and every metric. Cells are paired by
the ids of one's own run, which alone are sure to be what they say. What an entry's title or description claims is for
somebody to read.
"""

from __future__ import annotations

import datetime
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from statistics import fmean

import numpy as np
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from bench.core.errors import BenchError
from bench.core.hashing import sha256_array
from bench.results.leaks import likeness_in_halves
from bench.results.record import Record
from leaderboard.entries import verifications
from leaderboard.entries.reader import Result, open_result
from leaderboard.entries.run_folder import Album, load_run, open_store
from leaderboard.entries.strict_json import clip
from leaderboard.entries.verifications import Verification, files_sha256
from leaderboard.review.recompute import SCORES, TOLERANCE, gap, scores
from leaderboard.review.stated import differing
from leaderboard.site.board import SHOWN
from leaderboard.site.measures import HALVES
from metrics import visibility

PICTURES = "generated pictures"
STORED = {**dict.fromkeys(SCORES, TOLERANCE), PICTURES: 0.0, "linf": 0.0, "psnr": 1e-6, "ssim": 1e-6}
"""From a run's own artefacts. Of `PICTURES`, the number of those that differ from their hash."""

RERUN = {
    "fdfr": 0.2,
    "ism_detected": 0.1,
    "ism_zero": 0.1,
    "ilr": 0.2,
    "ilr_matched": 0.2,
    "likeness": 0.1,
    **dict.fromkeys(HALVES, 0.15),
    "any_leak@4": 0.6,
    "false_leak": 0.1,
    "linf": 1.0,
    "psnr": 0.5,
    "ssim": 0.02,
    "photos_recognised": 0.25,
}
"""Cell by cell, in a second run: all that the board shows. A fifth of the pictures of a cell may tip over, by which the
chance of any leak in 4 changes by up to 0.6; a half has half as many pictures. Of four cloaked photos one may tip."""
RERUN_THRESHOLD = 0.01
"""Leak thresholds come from the same photos and the same judges."""
RERUN_MEAN = dict.fromkeys((*SCORES, *HALVES, "false_leak"), 0.05) | {"any_leak@4": 0.1}
"""What the mean of a score over all cells may differ by, if there are at least `MEAN_CELLS`."""
MEAN_CELLS = 10
STATED = "facts that differ"
"""How many of what a cell says that it is of are not those of the own run's."""
TOLD = 20
"""Differing facts that are printed."""


@dataclass
class Comparison:
    """Differences found so far.

    Attributes:
        tolerances: metric -> largest difference that is allowed.
        differences: metric -> one difference a cell.
        said: what facts differ, in words.
        cells: ids of the cells that were compared.
        of: how many there are.
    """

    tolerances: Mapping[str, float]
    differences: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    said: list[str] = field(default_factory=list)
    cells: list[str] = field(default_factory=list)
    of: int = 0

    @property
    def ok(self) -> bool:
        """Whether nothing is beyond its tolerance."""
        return all(self.largest(name) <= tolerance for name, tolerance in self.tolerances.items())

    def largest(self, name: str) -> float:
        """The largest difference of a metric; 0 if no cell has it."""
        return max(map(abs, self.differences.get(name, ())), default=0.0)

    def table(self, title: str) -> Table:
        """One row a metric."""
        made = Table(title=Text(title, "table.title"), box=box.SIMPLE_HEAD)
        for name in ("metric", "cells", "largest difference", "tolerance", "verdict"):
            made.add_column(name, justify="left" if name in ("metric", "verdict") else "right")
        for name, tolerance in self.tolerances.items():
            cells, largest = len(self.differences.get(name, ())), self.largest(name)
            verdict = "not checked" if not cells else "ok" if largest <= tolerance else "BEYOND"
            made.add_row(name, str(cells), f"{largest:.3g}" if cells else "-", f"{tolerance:g}", verdict)
        return made


def from_artefacts(records: Iterable[Record], album: Album | None) -> Comparison:
    """What the records of a run state, against the same computed from their facts and from stored pictures."""
    found = Comparison(STORED)
    for record in (r for r in records if r.status == "ok"):
        for name, value in scores(record).items():
            found.differences[name].append(gap(record.metrics.get(name), value))
        generated = album.stage(record, "generate") if album else None
        if generated is not None:
            hashes, stated = [sha256_array(p) for p in generated], [i.sha256 for i in record.images]
            found.differences[PICTURES].append(
                sum(a != b for a, b in zip(hashes, stated, strict=False)) + abs(len(hashes) - len(stated))
            )
        clean, cloaked = (album.clean(record), album.stage(record, "protect")) if album else (None, None)
        if clean is not None and cloaked is not None:
            pairs = list(zip(clean, cloaked, strict=True))
            seen = {
                "linf": float(max(visibility.linf(a, b) for a, b in pairs)),
                "psnr": float(np.mean([visibility.psnr(a, b) for a, b in pairs])),
                "ssim": float(np.mean([visibility.ssim(a, b) for a, b in pairs])),
            }
            for name, value in seen.items():
                found.differences[name].append(gap(record.metrics.get(name), value))
    return found


def with_rerun(result: Result, rerun: Iterable[Record]) -> Comparison:
    """An entry's records against those of a second run, cell by cell."""
    again = {record.cell: record for record in rerun}
    means = {f"mean {name}": tolerance for name, tolerance in RERUN_MEAN.items()}
    found = Comparison({STATED: 0.0, "status": 0.0, "threshold": RERUN_THRESHOLD, **RERUN, **means})
    for record in result.records():
        found.of += 1
        if own := again.get(record.cell):
            found.cells.append(record.cell)
            _compare(found, record, own)
    for name in RERUN_MEAN:
        if len(found.differences[name]) >= MEAN_CELLS:
            found.differences[f"mean {name}"].append(fmean(found.differences[name]))
    return found


def _compare(found: Comparison, record: Record, own: Record) -> None:
    """Add the differences of one cell."""
    facts = differing(record, own)
    found.differences[STATED].append(len(facts))
    found.said += [
        f"cell {record.cell[:12]}: {name} is {theirs!r}, and the run has {ours!r}"
        for name, (theirs, ours) in facts.items()
    ]
    found.differences["status"].append(float(record.status != own.status))
    thresholds = [name for name in record.thresholds | own.thresholds if name.partition(".")[0] != "pairs"]
    if thresholds:
        apart = max(gap(record.thresholds.get(name), own.thresholds.get(name)) for name in thresholds)
        found.differences["threshold"].append(apart)
    theirs, ours = _measured(record), _measured(own)
    for name in RERUN:
        left, right = theirs.get(name), ours.get(name)
        if left is not None and right is not None:
            found.differences[name].append(left - right)
        elif left is not right and name in (*SHOWN, *HALVES):
            found.differences[name].append(float("inf"))


def _measured(record: Record) -> dict[str, float | None]:
    """Metrics, and the two halves of likeness."""
    halves = likeness_in_halves(record)
    stated = {name: record.metric(name) for name in RERUN}
    return stated | (dict(zip(HALVES, halves[1:], strict=True)) if halves else {})


def verify(run: Path, store: Path, entry: Path | None, write: Path | None, by: str, console: Console) -> int:
    """Print what was compared; record a verification if asked to.

    Returns:
        The exit status: 0 if all differences are within their tolerances, else 1; then no verification is written.

    Raises:
        BenchError: the run or the entry cannot be read, or they have no cell in common.
    """
    if write is not None and (entry is None or not by):
        raise BenchError("A verification needs an entry and a name.", "Add --entry and --by.")
    records = load_run(run)
    album = Album(open_store(store), records) if store.is_dir() else None
    own = from_artefacts(records, album)
    console.print(own.table(f"{run.name}: stated, and computed again"))
    if album is None:
        console.print(Text(f"There is no store {store}: pictures were not checked (--store)."), soft_wrap=True)
    if entry is None:
        return 0 if own.ok else 1
    result = open_result(entry)
    rerun = with_rerun(result, records)
    if not rerun.cells:
        raise BenchError(
            f"No cell of {entry} is in {run}.",
            "Run with the entry's own settings, data and weights: a cell's hash is made of all of them.",
        )
    covered = f"{len(rerun.cells)} of {rerun.of} cells"
    console.print(rerun.table(f"{result.entry.id}, and {run.name}: {covered}"))
    for said in rerun.said[:TOLD]:
        console.print(Text(f"  {clip(said)}"), soft_wrap=True)
    good = own.ok and rerun.ok
    if good and write is not None:
        made = Verification(
            by=by,
            date=datetime.date.today(),
            cells=len(rerun.cells),
            of=rerun.of,
            only=tuple(rerun.cells) if len(rerun.cells) < rerun.of else (),
            largest_difference=max(rerun.largest(name) for name in SCORES),
            files_sha256=files_sha256(result.entry),
        )
        verifications.write(write, result.entry.id, made)
        console.print(Text(f"{write}: {result.entry.id} is verified on {covered}."), soft_wrap=True)
        if result.pictures:
            shown = "The page now shows the entry's pictures of these cells: look at them first."
            console.print(Text(shown), soft_wrap=True)
    return 0 if good else 1
