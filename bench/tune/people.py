"""Whom defenses are tuned on: people who train nothing and judge nobody."""

from __future__ import annotations

import io
import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.data.crops import Cutter, NoFace
from bench.data.photo_reader import read_image
from bench.store import write_atomic

SPLIT = Path(__file__).parent.parent / "zoo" / "split.json"
"""Who is kept for what, by source of the photos."""
SOURCE = "celeba"
PHOTOS, LEAST = 12, 9
"""Of each person, the first that a run can cut: four for each of the sets A, B and C, as in published protocols.
And how many there must be."""

MARGIN, SIDE = 1.5, 128
"""As a run of the embedded model cuts photos."""


def tuning_people() -> list[str]:
    """Everybody who is kept for tuning."""
    people: list[str] = json.loads(SPLIT.read_text())["tune"][SOURCE]
    return people


def prepare(data: str, file: Path) -> None:
    """Write the photos of the people kept for tuning into a file of their own, unless it is there.

    A run reads everybody in its data, and refuses people with few photos; of these there are many in training data.

    Raises:
        BenchError: the data cannot be read, or somebody is not in it.
    """
    if file.exists():
        return
    try:
        table = pq.read_table(expanded(data))
        names, pictures = table["identity"].to_pylist(), table["image"].to_pylist()
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise BenchError(
            f"data={data} is no Parquet file with columns image and identity: {error}", "Give celeba_train.parquet."
        ) from None
    rows: dict[str, list[int]] = {person: [] for person in tuning_people()}
    for row, (name, picture) in enumerate(zip(names, pictures, strict=True)):
        if name in rows and len(rows[name]) < PHOTOS and _can_be_cut(picture["bytes"], f"row {row} of {data}"):
            rows[name].append(row)
    for person in rows:
        if len(rows[person]) < LEAST:
            raise BenchError(
                f"data={data} has {len(rows[person])} photos of {person} with a face, and {LEAST} are needed.",
                "Give celeba_train.parquet, whole.",
            )
    sink = pa.BufferOutputStream()
    pq.write_table(table.take([row for own in rows.values() for row in own]), sink)
    write_atomic(file, sink.getvalue().to_pybytes(), mode=0o600)  # real people's photos


def _can_be_cut(encoded: bytes, place: str) -> bool:
    """Whether a run finds the face to cut a photo around: it refuses a person for one photo without."""
    try:
        Cutter("face", MARGIN, SIDE).cut(read_image(io.BytesIO(encoded), place), "photo", place)
    except NoFace:
        return False
    return True
