"""Results as tables for notebooks: `load_results("runs/mine").to_pandas()`, or `polars.from_arrow(...)`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from bench.arms import attack_label, label
from bench.derived import with_derived
from bench.errors import BenchError
from bench.loggers.rows import row
from bench.record import load_all


def load_results(*runs: Path | str) -> pa.Table:
    """One row a cell of one or several runs: what names it, its metrics, and what its stages cost.

    Columns that only some cells have are null elsewhere. `arm` and `attack_label` are the names that reports use.

    Raises:
        BenchError: a folder holds no records.
    """
    rows = []
    for run in map(Path, runs):
        records = with_derived(load_all(run))
        if not records:
            raise BenchError(
                f"{run}: there are no records in {run / 'cells'}.", "Name the folder of a run: runs/<run>."
            )
        rows += [{"run": str(run), "arm": label(r), "attack_label": attack_label(r), **row(r)} for r in records]
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
