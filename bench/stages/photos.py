"""Saving and re-reading the pictures of a stage: numbered 8-bit PNGs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.images import png_bytes, read_png
from bench.types import Pixels


def save(folder: Path, pictures: Sequence[Pixels]) -> None:
    """Write 000.png, 001.png, ..."""
    for index, picture in enumerate(pictures):
        (folder / f"{index:03d}.png").write_bytes(png_bytes(picture))


def load(folder: Path) -> list[Pixels]:
    """Read them back in order."""
    return [read_png(path) for path in sorted(folder.glob("*.png"))]
