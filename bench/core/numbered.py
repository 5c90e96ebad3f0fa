"""Pictures in a folder, numbered: one writer and one reader, for all stages and whoever looks at what they left.

The number is read from the name: as text, 1000.png comes before 101.png.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.images import png_bytes, read_png
from bench.core.types import Pixels


def save(folder: Path, pictures: Sequence[Pixels]) -> None:
    """Write 000.png, 001.png, ... (lossless, 8 bits)."""
    for index, picture in enumerate(pictures):
        (folder / f"{index:03d}.png").write_bytes(png_bytes(picture))


def load(folder: Path, count: int | None = None) -> list[Pixels]:
    """Read them back in order; other files in the folder are none of them.

    Args:
        folder: where `save` wrote them.
        count: how many there must be, where that is known.

    Raises:
        BenchError: one is missing, there twice, or damaged.
    """
    names = re.compile(r"[0-9]{3,}\.png")
    files = sorted((int(path.stem), path) for path in folder.glob("*.png") if names.fullmatch(path.name))
    if [number for number, _ in files] != list(range(len(files) if count is None else count)):
        there = f"{len(files)} numbered pictures" + ("" if count is None else f" for {count}")
        raise BenchError(
            f"{folder} holds {there}, or not every number from 0 on once.",
            "Delete the folder and repeat the command: what is missing in the store is made again.",
        )
    return [read_png(path) for _, path in files]
