"""Who defenses are tuned on, and that nobody else is read."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from bench.core.errors import BenchError
from bench.tune.people import SPLIT, prepare, tuning_people
from tests.support.tuning import write_people


def test_nobody_of_them_trains_or_is_like_somebody_who_judges() -> None:
    split = json.loads(SPLIT.read_text())
    assert len(set(tuning_people())) == 24
    assert not {*tuning_people()} & {*split["held"]["celeba"], *split["dropped"]["celeba"]}


def test_their_first_photos_alone_go_into_a_file_of_their_own(tmp_path: Path) -> None:
    write_people(tmp_path / "all.parquet", ["7201", *reversed(tuning_people()), "few"], photos=13)
    file = tmp_path / "tune" / "people.parquet"
    prepare(str(tmp_path / "all.parquet"), file)
    found = pq.read_table(file)
    assert Counter(found["identity"].to_pylist()) == dict.fromkeys(tuning_people(), 12)
    assert {row["path"] for row in found["image"].to_pylist()} == {f"{number}.png" for number in range(12)}
    assert file.stat().st_mode & 0o077 == 0, "real people's photos are nobody else's to read"
    before = file.stat().st_mtime_ns
    prepare("nowhere.parquet", file)
    assert file.stat().st_mtime_ns == before, "made once"


@pytest.mark.parametrize("photos", [0, 8])
def test_data_without_them_is_refused(tmp_path: Path, photos: int) -> None:
    write_people(tmp_path / "all.parquet", ["7201", *tuning_people()[: 24 if photos else 0]], photos or 12)
    with pytest.raises(BenchError, match=f"has {photos} photos of {tuning_people()[0]} with a face, and 9 are needed"):
        prepare(str(tmp_path / "all.parquet"), tmp_path / "people.parquet")
    assert not (tmp_path / "people.parquet").exists()


@pytest.mark.parametrize("name", ["missing.parquet", "text.parquet"])
def test_what_is_no_parquet_file_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "text.parquet").write_text("no")
    with pytest.raises(BenchError, match="is no Parquet file"):
        prepare(str(tmp_path / name), tmp_path / "people.parquet")
