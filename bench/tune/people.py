"""Whom defenses are tuned on: people who train nothing and judge nobody."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.core.errors import BenchError
from bench.core.paths import expanded

SPLIT = Path(__file__).parent.parent / "zoo" / "split.json"
"""Who is kept for what, by source of the photos."""
SOURCE = "celeba"
PHOTOS = 12
"""Of each person, in the order of the file: four for each of the sets A, B and C, as in published protocols."""


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
        names = table["identity"].to_pylist()
    except (OSError, pa.ArrowInvalid, KeyError) as error:
        raise BenchError(
            f"data={data} is no Parquet file with a column identity: {error}", "Give celeba_train.parquet."
        ) from None
    rows: dict[str, list[int]] = defaultdict(list)
    for row, name in enumerate(names):
        rows[name].append(row)
    for person in tuning_people():
        if len(rows[person]) < PHOTOS:
            raise BenchError(
                f"data={data} has {len(rows[person])} photos of {person}, and {PHOTOS} are needed.",
                "Give celeba_train.parquet, whole.",
            )
    file.parent.mkdir(parents=True, exist_ok=True)
    partial = file.with_suffix(".partial")
    pq.write_table(table.take([row for person in tuning_people() for row in rows[person][:PHOTOS]]), partial)
    partial.replace(file)
