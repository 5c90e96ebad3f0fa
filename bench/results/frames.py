"""Results as Arrow tables for notebooks: `load_results("runs/mine")`.

`.to_pandas()` and `polars.from_arrow(...)` make them data frames; neither pandas nor polars is a dependency.
"""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.core.errors import BenchError
from bench.results.arms import arms
from bench.results.labels import arm_label, attack_label
from bench.results.record import load_all
from bench.results.relative import with_derived
from bench.results.rows import row


def load_results(*runs: Path | str) -> pa.Table:
    """One row a cell of one or several runs: what names it, its metrics, and what its stages cost.

    Columns that only some cells have are null elsewhere. `arm` is what reports call a row: what differs in more than
    person and seed is another arm, so that a mean over an arm is one over people and seeds.

    Raises:
        BenchError: a folder holds no records.
    """
    found_in = {run: load_all(run) for run in map(Path, runs)}
    for run, records in found_in.items():
        if not records:
            raise BenchError(
                f"{run}: there are no records in {run / 'cells'}.", "Name the folder of a run: runs/<run>."
            )
    every = [record for records in found_in.values() for record in records]
    labels = {record.cell: arm.label for arm in arms(every) for record in arm.records}
    several = len({record.cell for record in every}) < len(every)  # runs of the same cells: arms of each
    rows = [
        {
            "run": str(run),
            "arm": labels.get(record.cell, arm_label(record)) + (f" in {run}" if several else ""),
            "attack_label": attack_label(record),
            **row(record),
        }
        for run, records in found_in.items()
        for record in with_derived(records)
    ]
    names = dict.fromkeys(name for found in rows for name in found)
    return pa.Table.from_pylist([{name: found.get(name) for name in names} for found in rows])


def load_images(*runs: Path | str) -> pa.Table:
    """One row a generated picture of one or several runs, as in their `images.parquet`.

    Raises:
        BenchError: a folder has no such file.
    """
    missing = [run for run in map(Path, runs) if not (run / "images.parquet").is_file()]
    if missing:
        raise BenchError(f"{missing[0]}: there is no images.parquet.", "Name the folder of a run that has ended.")
    return pa.concat_tables([pq.read_table(Path(run) / "images.parquet") for run in runs], promote_options="permissive")
