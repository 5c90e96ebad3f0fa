"""Whom defenses are tuned on: people who train nothing and judge nobody."""

from __future__ import annotations

import json
from pathlib import Path

from bench.core.errors import BenchError
from bench.data.excerpt import first_photos, read_people, write_excerpt

SPLIT = Path(__file__).parent.parent / "zoo" / "split.json"
"""Who is kept for what, by source of the photos."""
SOURCE = "celeba"
PHOTOS, LEAST = 12, 9
"""Of each person: four for each of the sets A, B and C, as in published protocols. And how many there must be."""


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
    table = read_people([data])
    rows = first_photos(table, tuning_people(), PHOTOS)
    for person in rows:
        if len(rows[person]) < LEAST:
            raise BenchError(
                f"data={data} has {len(rows[person])} photos of {person} with a face, and {LEAST} are needed.",
                "Give celeba_train.parquet, whole.",
            )
    write_excerpt(table, rows, file)
