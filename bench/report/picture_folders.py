"""A run's pictures in folders for people: `<person>/<arm>/photo|cloaked|change x8/` and `generated/<attack>/`."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from bench.core import numbered
from bench.core.file_names import file_name, inside
from bench.core.types import Pixels
from bench.results.arms import arms
from bench.results.stored_run import StoredRun

ENLARGED = 8
"""How many times a change is enlarged, so that it can be seen."""


def write(run: Path, folder: Path) -> int:
    """Write all pictures of a run's cells that are ok; how many they are.

    Raises:
        BenchError: the run has no such cells, or the store no longer has a picture.
    """
    stored = StoredRun.open(run)
    clean = {r.identity: stored.pictures(r, "protect") for r in stored.records if r.defense.name == "none"}
    count = 0
    for arm in arms(stored.records):
        several = len({cell.seed for cell in arm.records}) > 1
        for cell in arm.records:
            label = f"{arm.label} (seed {cell.seed})" if several else arm.label
            place = inside(folder, file_name(cell.identity), file_name(label))
            pictures = {f"generated/{file_name(cell.attack.name)}": stored.pictures(cell, "generate")}
            if cell.attack.name != "none":
                pictures |= _photos(stored.pictures(cell, "protect"), clean.get(cell.photos_of or cell.identity))
            for name, found in pictures.items():
                count += _write(place / name, found)
    return count


def _photos(cloaked: list[Pixels], clean: list[Pixels] | None) -> dict[str, list[Pixels]]:
    """What a method was given, what it made of it, and the difference, enlarged around grey."""
    if clean is None:
        return {"cloaked": cloaked}
    changes = [enlarged_change(before, after) for before, after in zip(clean, cloaked, strict=True)]
    return {"photo": clean, "cloaked": cloaked, f"change x{ENLARGED}": changes}


def enlarged_change(before: Pixels, after: Pixels) -> Pixels:
    """(h, w, 3) the difference of two pictures, `ENLARGED` times as large, around grey."""
    return (128 + ENLARGED * (after.astype(np.int16) - before)).clip(0, 255).astype(np.uint8)


def _write(folder: Path, pictures: list[Pixels]) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    numbered.save(folder, pictures)
    return len(pictures)
