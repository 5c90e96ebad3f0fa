"""Tables of photos, a parquet file each: rows with the image and what is said of it."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
from PIL import Image

from bench.core.errors import BenchError
from bench.data.photo_reader import read_image


def read_rows(file: Path, chosen: Sequence[int] | None = None) -> list[dict[str, Any]]:
    """Rows of a table, all or those of the given numbers.

    Raises:
        BenchError: the file is not there.
    """
    if not file.is_file():
        raise BenchError(f"There is no {file}.", "Give the folder that holds it.")
    table = pq.read_table(file)
    found: list[dict[str, Any]] = (table if chosen is None else table.take(list(chosen))).to_pylist()
    return found


def image_of(row: Mapping[str, Any], place: str) -> Image.Image:
    """The photo of a row; errors name its place."""
    return read_image(io.BytesIO(row["image"]["bytes"]), place)
