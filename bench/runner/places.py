"""Can a run write where it is to write? Asked before it has computed anything."""

from __future__ import annotations

import os
import shutil
import tempfile
from pathlib import Path

from rich.filesize import decimal

from bench.core.errors import BenchError


def refuse_unwritable(folder: Path, setting: str) -> None:
    """Refuse a folder in which nothing can be made, whether it is there yet or not. Leaves nothing behind.

    Args:
        folder: where a run is to write.
        setting: which setting says so, for the message.

    Raises:
        BenchError: it is a file, lies below one, or the system does not let us write there.
    """
    there = nearest(folder)
    fix = f"Give another folder: {setting}=..."
    if not there.is_dir():
        raise BenchError(f"{setting}={folder}: {there} is a file, not a folder.", fix)
    try:
        with tempfile.TemporaryFile(dir=there) as file:
            file.write(b"a full disk refuses the first byte")
            file.flush()
    except OSError as error:
        raise BenchError(f"{setting}={folder}: nothing can be written in {there} ({error.strerror}).", fix) from error


def refuse_full(folder: Path, needed: int, setting: str) -> None:
    """Refuse a disk with less room than a run's pictures need.

    Raises:
        BenchError: says how much is free.
    """
    free = shutil.disk_usage(nearest(folder)).free
    if needed > free:
        raise BenchError(
            f"{setting}={folder}: the pictures take about {decimal(needed)}, and {decimal(free)} are free.",
            f"Make room, or give a folder on another disk: {setting}=...",
        )


def nearest(path: Path) -> Path:
    """The path itself, or the nearest above it that is there."""
    absolute = path.absolute()
    return next(place for place in (absolute, *absolute.parents) if os.path.lexists(place))
