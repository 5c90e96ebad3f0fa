"""A file with some people's photos out of larger ones: whom a run reads, and no photo that it would refuse."""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.data.crops import Cutter, NoFace
from bench.data.photo_reader import read_image
from bench.store import write_atomic

MARGIN, SIDE = 1.5, 128
"""As a run of the embedded model cuts photos."""


def read_people(files: Sequence[str]) -> pa.Table:
    """The columns image and identity of all files, one after the other.

    Raises:
        BenchError: one of them is no Parquet file with these columns.
    """
    tables = []
    for file in files:
        try:
            tables.append(pq.read_table(expanded(file), columns=["image", "identity"]))
        except (OSError, pa.ArrowInvalid, KeyError) as error:
            raise BenchError(
                f"{file} is no Parquet file with the columns image and identity: {error}", "Give one that has them."
            ) from None
    return pa.concat_tables(tables, promote_options="permissive")


def first_photos(table: pa.Table, people: Sequence[str], most: int) -> dict[str, list[int]]:
    """Person -> rows of their first photos that a run can cut, at most so many; in the order of `people`."""
    rows: dict[str, list[int]] = {person: [] for person in people}
    for row, name in enumerate(table["identity"].to_pylist()):
        if len(rows.get(name, range(most))) < most and _can_be_cut(table["image"][row]["bytes"].as_py(), f"row {row}"):
            rows[name].append(row)
    return rows


def write_excerpt(table: pa.Table, rows: Mapping[str, Sequence[int]], file: Path, sets: str = "") -> None:
    """Write the rows of people into a file that only its owner may read.

    Args:
        sets: "A", "B" or "C" for each photo of a person, into a column of that name; empty: none.
    """
    excerpt = table.take([row for own in rows.values() for row in own])
    if sets:
        excerpt = excerpt.append_column("set", pa.array([part for _ in rows for part in sets]))
    sink = pa.BufferOutputStream()
    pq.write_table(excerpt, sink)
    write_atomic(file, sink.getvalue().to_pybytes(), mode=0o600)  # real people's photos


def _can_be_cut(encoded: bytes, place: str) -> bool:
    """Whether a run finds the face to cut a photo around: it refuses a person for one photo without."""
    try:
        Cutter("face", MARGIN, SIDE).cut(read_image(io.BytesIO(encoded), place), "photo", place)
    except NoFace:
        return False
    return True
