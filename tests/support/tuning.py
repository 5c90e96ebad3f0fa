"""Training photos, as `bench.tune` is given them: invented people under any names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from tests.support.contexts import ROOT


def write_people(file: Path, names: Sequence[str], photos: int = 12) -> None:
    """A Parquet file with so many photos of each name, person by person; the invented people come in turn."""
    folders = sorted((ROOT / "bench/zoo/synthetic").glob("p*"))
    rows = []
    for index, name in enumerate(names):
        pictures = sorted(folders[index % len(folders)].rglob("*.png"))
        for number in range(photos):
            picture = pictures[number % len(pictures)]
            rows.append({"image": {"bytes": picture.read_bytes(), "path": f"{number}.png"}, "identity": name})
    pq.write_table(pa.Table.from_pylist(rows), file)
