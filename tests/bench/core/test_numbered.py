"""Numbered pictures come back in the order of their numbers, all of them, or not at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core import numbered
from bench.core.errors import BenchError
from bench.core.types import Pixels

MANY = 1_002
"""As text, 1000.png comes before 101.png: from picture 101 on, 901 pictures would be others."""


def picture(index: int) -> Pixels:
    return np.full((1, 1, 3), (index // 256, index % 256, 7), np.uint8)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    numbered.save(tmp_path, [picture(index) for index in range(3)])
    return tmp_path


def test_more_than_a_thousand_pictures_stay_in_order(tmp_path: Path) -> None:
    numbered.save(tmp_path, [picture(index) for index in range(MANY)])
    pictures = numbered.load(tmp_path, MANY)
    assert [256 * int(p[0, 0, 0]) + int(p[0, 0, 1]) for p in pictures] == list(range(MANY))


def test_other_files_are_no_pictures_of_it(folder: Path) -> None:
    for name in ("._000.png", "meta.json", "thumb.png", "000.jpg", "7.png"):
        (folder / name).write_bytes(b"not one of them")
    assert len(numbered.load(folder, 3)) == 3


@pytest.mark.parametrize("lost", ["000.png", "001.png", "002.png"])
def test_a_missing_picture_does_not_move_the_others_into_its_place(folder: Path, lost: str) -> None:
    (folder / lost).unlink()
    with pytest.raises(BenchError, match="2 numbered pictures for 3"):
        numbered.load(folder, 3)


def test_a_gap_or_a_number_twice_is_found_without_a_count(folder: Path) -> None:
    (folder / "001.png").rename(folder / "0002.png")
    with pytest.raises(BenchError, match="not every number from 0 on once"):
        numbered.load(folder)


def test_a_damaged_picture_is_named(folder: Path) -> None:
    (folder / "001.png").write_bytes((folder / "001.png").read_bytes()[:40])
    with pytest.raises(BenchError, match=r"001\.png cannot be read"):
        numbered.load(folder)
