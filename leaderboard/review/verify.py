"""Scores computed again: from the artefacts of a run, and against a run of somebody else's entry.

From a run's own artefacts every number must come out the same. A second run gives the same bits on the same kind of
machine (tests/bench/runner/test_run.py). On another one rounding differs, training amplifies it, and single pictures
tip over: so cells may differ more, and their mean, which a systematic difference would move, less.
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
from bench.results.record import Record
from leaderboard.entries import verifications
from leaderboard.entries.entry import RECORDS
from leaderboard.entries.reader import Result, open_result
from leaderboard.entries.run_folder import Album, load_run, open_store
from leaderboard.entries.verifications import Verification
from leaderboard.review.recompute import SCORES, TOLERANCE, gap, scores
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
    "linf": 1.0,
    "psnr": 0.5,
    "ssim": 0.02,
}
"""Cell by cell, in a second run. A fifth of the pictures of a cell may tip over."""
RERUN_THRESHOLD = 0.01
"""Leak thresholds come from the same photos and the same judges."""
RERUN_MEAN = 0.05
"""What the mean of a score over all cells may differ by, if there are at least `MEAN_CELLS`."""
MEAN_CELLS = 10


@dataclass
class Comparison:
    """Differences found so far.

    Attributes:
        tolerances: metric -> largest difference that is allowed.
        differences: metric -> one difference a cell.
    """

    tolerances: Mapping[str, float]
    differences: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))

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
    means = {f"mean {name}": RERUN_MEAN for name in SCORES}
    found = Comparison({"status": 0.0, "threshold": RERUN_THRESHOLD, **RERUN, **means})
    for record in result.records():
        other = again.get(record.cell)
        if other is None:
            continue
        found.differences["status"].append(float(record.status != other.status))
        pairs = {name: (record.metrics.get(name), other.metrics.get(name)) for name in RERUN}
        if rules := [name for name in record.thresholds if name.partition(".")[0] == "ilr"]:
            apart = max(gap(record.thresholds[rule], other.thresholds.get(rule)) for rule in rules)
            found.differences["threshold"].append(apart)
        for name, (left, right) in pairs.items():
            if left is not None and right is not None:
                found.differences[name].append(left - right)
    for name in SCORES:
        if len(found.differences[name]) >= MEAN_CELLS:
            found.differences[f"mean {name}"].append(fmean(found.differences[name]))
    return found


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
    cells = len(rerun.differences["status"])
    if not cells:
        raise BenchError(
            f"No cell of {entry} is in {run}.",
            "Run with the entry's own settings, data and weights: a cell's hash is made of all of them.",
        )
    console.print(rerun.table(f"{result.entry.id}, and {run.name}"))
    good = own.ok and rerun.ok
    if good and write is not None:
        made = Verification(
            by=by,
            date=datetime.date.today(),
            cells=cells,
            largest_difference=max(rerun.largest(name) for name in SCORES),
            records_sha256=result.entry.files[RECORDS],
        )
        verifications.write(write, result.entry.id, made)
        console.print(Text(f"{write}: {result.entry.id} is verified on {cells} cells."), soft_wrap=True)
    return 0 if good else 1
