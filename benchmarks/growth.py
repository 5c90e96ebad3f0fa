"""How cost grows with people, prompts, photos and cells: counted passes, seconds, and what one more of each costs.

    python -m benchmarks.growth                    # eight minutes on a core
    python -m benchmarks.growth --plot growth.png

Methods run as they do by default, with few steps each: what grows is then the same, and bookkeeping weighs most. Where
one more costs the same at every size, cost is a straight line; what it starts from (Python, the base, the faces of
strangers) is in the first size. People beyond the invented ones are these again, with a little noise on every photo.
"""

from __future__ import annotations

import argparse
import io
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.config.compose import settings_of
from bench.core.seeding import derive
from bench.data.synthetic import Synthetic
from bench.results.record import load_all
from bench.runner.run import run
from benchmarks.sharing import outputs, passes

SIDE, REFERENCES, MOST = 128, 3, 12
METHODS = ["defense=mist", "attack=lora", "controls=[none]", "workers=1", "threads=1", "logger=none"]
FEW = ["defense.steps=2", "attack.steps=2", "model.steps=2", "protocol.images_per_prompt=1"]


@dataclass(frozen=True)
class Point:
    """What one size cost: samples through the UNet, and seconds."""

    size: int
    passes: int
    seconds: float


@dataclass(frozen=True)
class Axis:
    """Something that a run may have more of.

    Attributes:
        name: what.
        sizes: how much of it, growing.
        people: how many people a run of a size has.
        photos: how many photos of each are cloaked.
        words: settings of a run of a size, besides.
    """

    name: str
    sizes: tuple[int, ...]
    people: Callable[[int], int] = lambda size: 2
    photos: Callable[[int], int] = lambda size: 4
    words: Callable[[int], Sequence[str]] = lambda size: ()


AXES = (
    Axis("people", (1, 4, 16, 64), people=lambda size: size),
    Axis("prompts", (1, 4, 16), words=lambda size: (f"protocol.prompts={_prompts(size)}",)),
    Axis("photos of a person", (1, 3, 6, 12), photos=lambda size: size),
    Axis(
        "cells, planned",
        (100, 1_000, 10_000),
        people=lambda size: 50,
        words=lambda size: (f"suite.budgets={list(range(1, size // 50 + 1))}", "suite.defenses=[mist]", "dry_run=true"),
    ),
)


def _prompts(count: int) -> str:
    """So many prompts, as a setting."""
    return "[" + ",".join(f"'a photo of {{subject}} {word}'" for word in map(chr, range(97, 97 + count))) + "]"


def measure(axis: Axis, size: int, root: Path) -> Point:
    """Run a size in a store of its own."""
    data = photos(root / "photos", axis.people(size), axis.photos(size))
    words = [*METHODS, *FEW, *axis.words(size), "data=folder", f"data.root={data}", "data.crop=centre"]
    start = time.perf_counter()
    run(settings_of([*words, f"out={root}/out", f"store={root}/store"]), Console(file=io.StringIO()))
    seconds = time.perf_counter() - start
    return Point(size, passes(outputs(load_all(root / "out")).values()), seconds)


def photos(root: Path, people: int, count: int) -> Path:
    """A folder of people with `count` photos to cloak each, and some to know them by."""
    known = Synthetic(limit=0).load(SIDE).identities
    for number in range(people):
        person, noise = known[number % len(known)], np.random.default_rng(derive("growth", number))
        shown = (person.reference + person.protect + person.extra)[:MOST]
        for index in range(REFERENCES + count):
            pixels = shown[index % len(shown)].pixels
            changed = (pixels + noise.integers(-2, 3, pixels.shape)).clip(0, 255).astype("uint8")
            folder = root / f"{number:03}" / ("set_A" if index < REFERENCES else "set_B")
            folder.mkdir(parents=True, exist_ok=True)
            Image.fromarray(changed).save(folder / f"{index:02}.png")
    return root


def rates(points: Sequence[Point]) -> list[tuple[float, float]]:
    """What one more cost from each size to the next: passes and seconds."""
    return [
        ((later.passes - former.passes) / more, (later.seconds - former.seconds) / more)
        for former, later in pairwise(points)
        if (more := later.size - former.size)
    ]


def main() -> None:
    """Print the table, and draw it if asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plot", type=Path, help="a picture of the curves")
    wanted = parser.parse_args()
    table = Table("of", "size", "UNet passes", "one more", "seconds", "one more")
    curves: dict[str, list[Point]] = {}
    for axis in AXES:
        points = curves[axis.name] = []
        for size in axis.sizes:
            with tempfile.TemporaryDirectory() as folder:
                points.append(measure(axis, size, Path(folder)))
        more = [("", ""), *((f"{each:.1f}", f"{lasts:.4f}") for each, lasts in rates(points))]
        for point, (each, lasts) in zip(points, more, strict=True):
            table.add_row(axis.name, f"{point.size:,}", f"{point.passes:,}", each, f"{point.seconds:.1f}", lasts)
        table.add_section()
    Console().print(table)
    if wanted.plot:
        draw(curves, wanted.plot)


def draw(curves: dict[str, list[Point]], file: Path) -> None:
    """Seconds over size, each axis by itself."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(3 * len(curves), 3), layout="constrained")
    for axes, (name, points) in zip(figure.subplots(1, len(curves)), curves.items(), strict=True):
        axes.plot([p.size for p in points], [p.seconds for p in points], marker="o")
        axes.set(xlabel=name, ylabel="seconds")
        axes.grid(alpha=0.3)
    figure.savefig(file)


if __name__ == "__main__":
    main()
