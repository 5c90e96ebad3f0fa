"""People from Parquet files: with sets and without, and what is said of files that do not fit."""

from __future__ import annotations

import io
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.data.parquet import Parquet


def encoded(level: int) -> dict[str, Any]:
    buffer = io.BytesIO()
    Image.fromarray(np.full((20, 30, 3), level, np.uint8)).save(buffer, format="PNG")
    return {"bytes": buffer.getvalue(), "path": None}


def write(file: Path, people: dict[str, list[int]], sets: str = "", **renamed: str) -> Path:
    """Photos of one grey level each; `sets` is a letter a photo, in the order of the rows."""
    rows = [(name, level) for name, levels in people.items() for level in levels]
    columns: dict[str, list[Any]] = {
        "image": [encoded(level) for _, level in rows],
        "identity": [name for name, _ in rows],
    }
    if sets:
        columns["set"] = [f"set_{c}" for c in sets] if renamed.pop("long", "") else list(sets)
    pq.write_table(pa.table({renamed.get(name, name): values for name, values in columns.items()}), file)
    return file


def levels(photos: tuple[Any, ...]) -> list[int]:
    return [int(photo.pixels.mean()) for photo in photos]


def test_without_sets_a_person_is_split_in_the_order_of_the_rows(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", {"bob": [90, 80, 70, 60, 50, 40, 30], "ada": [1, 2, 3, 4, 5, 6]})
    bob, ada = Parquet(str(file), crop="centre").load(16).identities
    assert (bob.name, ada.name) == ("bob", "ada")
    assert (levels(bob.reference), levels(bob.protect), levels(bob.extra)) == ([90, 80], [70, 60], [50, 40, 30])
    assert bob.protect[0].pixels.shape == (16, 16, 3)
    assert [photo.name for photo in ada.reference] == ["00007.png", "00008.png"]


@pytest.mark.parametrize("long", ["", "yes"])
def test_sets_are_taken_as_they_are_chosen(tmp_path: Path, long: str) -> None:
    file = write(tmp_path / "x.parquet", {"ada": [1, 2, 3, 4, 5]}, "CBABA", long=long)
    (ada,) = Parquet(str(file), crop="centre").load(16).identities
    assert (levels(ada.reference), levels(ada.protect), levels(ada.extra)) == ([3, 5], [2, 4], [1])


def test_a_folder_of_files_is_one_data_set_and_people_are_chosen(tmp_path: Path) -> None:
    write(tmp_path / "0.parquet", {"ada": [1, 2, 3, 4, 5, 6]})
    write(tmp_path / "1.parquet", {"bob": [1, 2, 3, 4, 5, 6], "cy": [1, 2, 3, 4, 5, 6]})
    data = Parquet(str(tmp_path), crop="centre", identities=("cy",), exclude=("ada",)).load(16)
    assert [person.name for person in data.identities] == ["bob", "cy"]
    assert data.selected == ("cy",)


@pytest.mark.parametrize(
    ("make", "settings", "said"),
    [
        (lambda f: f, {}, "no such file"),
        (lambda f: write(f, {"ada": [1, 2, 3]}), {}, "ada has too few photos"),
        (lambda f: write(f, {"ada": [1] * 6}, identity="who"), {}, "no column 'identity'; it has image, who"),
        (lambda f: write(f, {"ada": [1] * 6}, "ABCXBC"), {}, "'X'"),
        (lambda f: write(f, {"ada": [1] * 6}), {"exclude": ("adda",)}, "Did you mean"),
    ],
    ids=["nothing there", "too few", "no column", "no such set", "nobody to leave out"],
)
def test_what_does_not_fit_is_told(
    tmp_path: Path, make: Callable[[Path], Path], settings: dict[str, Any], said: str
) -> None:
    file = make(tmp_path / "x.parquet")
    with pytest.raises(BenchError) as told:
        Parquet(str(file), crop="centre", **settings).load(16)
    assert said in str(told.value)


def test_a_damaged_picture_is_named_by_its_row(tmp_path: Path) -> None:
    file = write(tmp_path / "x.parquet", {"ada": [1] * 6})
    table = pq.read_table(file).to_pydict()
    table["image"][3] = {"bytes": b"no picture", "path": None}
    pq.write_table(pa.table(table), file)
    with pytest.raises(BenchError, match=r"row 3 of .*ada"):
        Parquet(str(file), crop="centre").load(16)


def test_the_evaluations_people_are_read(shared_data: Callable[[str], Path]) -> None:
    data = Parquet(str(shared_data("lfw_eval.parquet")), crop="centre").load(64)
    assert len(data.identities) == 24
    assert {(len(p.reference), len(p.protect), len(p.extra)) for p in data.identities} == {(4, 4, 4)}


@pytest.mark.parametrize("given", ["{}/private.png", "../private.png", "/etc/hostname"])
def test_a_table_names_no_file_outside_of_its_folder(tmp_path: Path, given: str) -> None:
    (tmp_path / "data").mkdir()
    Image.fromarray(np.full((20, 30, 3), 7, np.uint8)).save(tmp_path / "private.png")
    named = [{"bytes": None, "path": given.format(tmp_path)}] * 6
    pq.write_table(pa.table({"image": named, "identity": ["ada"] * 6}), tmp_path / "data" / "x.parquet")
    with pytest.raises(BenchError, match="names a file that is not beside it"):
        Parquet(str(tmp_path / "data" / "x.parquet"), crop="centre").load(16)
    shutil.copy(tmp_path / "private.png", tmp_path / "data" / "own.png")
    own = [{"bytes": None, "path": "own.png"}] * 6
    pq.write_table(pa.table({"image": own, "identity": ["ada"] * 6}), tmp_path / "data" / "x.parquet")
    (ada,) = Parquet(str(tmp_path / "data"), crop="centre").load(16).identities
    assert levels(ada.protect) == [7, 7]
