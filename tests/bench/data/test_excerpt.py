"""Some people's photos out of larger files: the first that a run can cut, with sets where they are wanted."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.core.errors import BenchError
from bench.data.excerpt import first_photos, read_people, write_excerpt
from bench.zoo import make_held_out
from tests.support.tuning import write_people


def test_several_files_are_read_as_one_and_sets_are_a_column(tmp_path: Path) -> None:
    write_people(tmp_path / "one.parquet", ["ada", "bob"], photos=2)
    write_people(tmp_path / "two.parquet", ["eve", "ada"], photos=3)
    table = read_people([str(tmp_path / "one.parquet"), str(tmp_path / "two.parquet")])
    rows = first_photos(table, ["eve", "ada"], 4)
    assert rows == {"eve": [4, 5, 6], "ada": [0, 1, 7, 8]}
    write_excerpt(table, {"ada": rows["ada"]}, tmp_path / "out.parquet", "ABBC")
    written = pq.read_table(tmp_path / "out.parquet")
    assert written["set"].to_pylist() == ["A", "B", "B", "C"]
    assert {*written["identity"].to_pylist()} == {"ada"}
    assert (tmp_path / "out.parquet").stat().st_mode & 0o077 == 0, "real people's photos are nobody else's to read"


def test_held_out_people_with_too_few_photos_are_left_out(tmp_path: Path) -> None:
    first, second, third = json.loads(make_held_out.HELD_OUT.read_text())["lfw"][:3]
    write_people(tmp_path / "lfw.parquet", [first, "a stranger", second], photos=9)
    write_people(tmp_path / "few.parquet", [third], photos=7)
    files = [str(tmp_path / "lfw.parquet"), str(tmp_path / "few.parquet")]
    assert make_held_out.make(files, tmp_path / "out.parquet") == 2
    written = pq.read_table(tmp_path / "out.parquet")
    assert Counter(written["identity"].to_pylist()) == {first: 8, second: 8}
    assert Counter(written["set"].to_pylist()) == {"A": 4, "B": 8, "C": 4}
    with pytest.raises(BenchError, match="None of the people"):
        make_held_out.make(files[1:], tmp_path / "none.parquet")
