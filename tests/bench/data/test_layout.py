"""Folders of people: a level too deep or too high, sets under other names or missing are refused with the fix."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from bench.core.errors import BenchError
from bench.core.types import Dataset
from bench.data.folder import Folder
from bench.data.layout import set_of


def write(folder: Path, *names: str) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        seed = abs(hash(f"{folder}/{name}")) % 2**32
        pixels = np.random.default_rng(seed).integers(0, 256, (16, 16, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / name)


def numbered(count: int) -> list[str]:
    return [f"{i}.png" for i in range(count)]


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """photos/ada with three sets and photos/bob with photos alone, in the working directory."""
    monkeypatch.chdir(tmp_path)
    for part in "ABC":
        write(Path("photos") / "ada" / f"set_{part}", *numbered(6))
    write(Path("photos") / "bob", *numbered(7))
    return Path("photos")


def load(root: Path | str, **settings: tuple[str, ...]) -> Dataset:
    return Folder(str(root), crop="centre", **settings).load(16)  # type: ignore[arg-type]


def refused(root: Path | str) -> BenchError:
    with pytest.raises(BenchError) as caught:
        load(root)
    return caught.value


def test_both_layouts_side_by_side_are_right(photos: Path) -> None:
    ada, bob = load(photos).identities
    assert [len(s) for s in (ada.reference, ada.protect, ada.extra)] == [6, 6, 6]
    assert [len(s) for s in (bob.reference, bob.protect, bob.extra)] == [2, 2, 3]
    assert ada.protect[0].place == "ada/set_B/0.png"
    assert bob.protect[0].place == "bob/2.png"


@pytest.mark.parametrize(
    ("root", "right"),
    [
        ("photos/ada", "data.root=photos."),
        ("photos/bob", "data.root=photos."),
        ("photos/ada/set_B", "data.root=photos."),
        ("photos/../photos/ada", "/photos."),
    ],
)
def test_a_level_too_deep_is_refused_with_the_right_one(photos: Path, root: str, right: str) -> None:
    error = refused(root)
    assert root in error.message
    assert error.fix.endswith(right)


def test_a_person_s_folder_where_the_user_stands_is_told_by_its_whole_path(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = photos.resolve()
    monkeypatch.chdir(photos / "ada")
    assert refused(".").fix.endswith(f"data.root={whole}.")
    assert refused("set_A").fix.endswith(f"data.root={whole}.")


def test_a_person_s_folder_with_other_folders_in_it_is_one_all_the_same(photos: Path) -> None:
    write(photos / "bob" / "old", *numbered(6))
    error = refused(photos / "bob")
    assert "7 photos beside old" in error.message
    assert "data.root=photos." in error.fix


def test_a_level_too_high_is_refused_with_the_folders_to_choose_from(photos: Path, tmp_path: Path) -> None:
    error = refused(".")
    assert "a level too high" in error.message
    assert "data.root=photos" in error.fix
    write(tmp_path / "more" / "cid", *numbered(6))
    assert "data.root=more or data.root=photos" in refused(".").fix


def test_one_photo_beside_the_people_is_named_and_no_reason_to_stop(photos: Path) -> None:
    write(photos, "overview.png")
    assert "overview.png belongs to nobody" in load(photos).skipped


@pytest.mark.parametrize("name", ["set_b", "SET_B"])
def test_capitals_of_sets_make_no_difference(photos: Path, name: str) -> None:
    (photos / "ada" / "set_B").rename(photos / "ada" / "moved")
    (photos / "ada" / "moved").rename(photos / "ada" / name)
    assert len(load(photos).identities[0].protect) == 6


@pytest.mark.parametrize("name", ["B", "b", "setB", "Set B", "set-b", "setb"])
def test_a_set_under_another_name_is_refused_and_not_ignored(photos: Path, name: str) -> None:
    (photos / "ada" / "set_B").rename(photos / "ada" / name)
    assert f"Rename {name} to set_B" in refused(photos).fix


@pytest.mark.parametrize("lacking", ["set_A", "set_B"])
def test_a_person_with_only_some_sets_is_told_which_are_missing(photos: Path, lacking: str) -> None:
    (photos / "ada" / lacking).rename(photos / "elsewhere")
    for photo in (photos / "elsewhere").iterdir():
        photo.unlink()
    (photos / "elsewhere").rmdir()
    error = refused(photos)
    assert f"no {lacking}" in error.message
    assert "ada" in error.message


def test_everybody_whose_folder_is_wrong_is_named_at_once(photos: Path) -> None:
    (photos / "ada" / "set_B").rename(photos / "ada" / "B")
    (photos / "bob" / "6.png").unlink()
    (photos / "bob" / "5.png").unlink()
    message = refused(photos).message
    assert "ada" in message
    assert "bob has too few photos" in message


def test_photos_deeper_down_are_named(photos: Path) -> None:
    write(photos / "ada" / "set_A" / "raw", "a.png")
    assert any("ada/set_A/raw" in line for line in load(photos).skipped)


def test_who_is_left_out_may_lie_in_any_way(photos: Path) -> None:
    write(photos / "set_of_cups", "cup.png")
    assert [p.name for p in load(photos, exclude=("set_of_cups",)).identities] == ["ada", "bob"]


def test_names_of_people_are_no_sets() -> None:
    assert [set_of(name) for name in ("set_A", "setc", "b", "Set B", "SET-A")] == [
        *("set_A", "set_C", "set_B", "set_B", "set_A")
    ]
    assert not any(map(set_of, ("abba", "seth", "set", "set_D", "asset_a", "ab", "")))
