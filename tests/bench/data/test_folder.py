"""Photos on disk become identities: upright, RGB, square, in a stable order, and mistakes are named."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from bench.core.errors import BenchError
from bench.core.images import crop_centre, crop_square, png_bytes, read_png, resize, to_pixels, to_tensor
from bench.core.types import Dataset, Identity, Pixels
from bench.data import SOURCES
from bench.data.folder import Folder

SIDE = 16


def picture(seed: int, height: int = SIDE, width: int = SIDE) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def write(path: Path, pixels: Pixels, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, **options)
    return path


def person(folder: Path, seed: int = 0, suffix: str = ".png") -> None:
    """Sets A, B and C with two photos each."""
    for i, part in enumerate("ABC"):
        for j in range(2):
            write(folder / f"set_{part}" / f"{part}{j}{suffix}", picture(seed * 100 + 10 * i + j))


def load(root: Path, resolution: int = SIDE, **settings: Any) -> Dataset:
    return Folder(str(root), **{"crop": "centre", **settings}).load(resolution)


def names(identity: Identity) -> list[list[str]]:
    return [[photo.name for photo in photos] for photos in (identity.reference, identity.protect, identity.extra)]


# --- layouts --------------------------------------------------------------------------------------------------------


def test_three_sets_of_the_anti_dreambooth_layout(tmp_path: Path) -> None:
    person(tmp_path / "ann")
    (ann,) = load(tmp_path, licence="CC0").identities
    assert ann.name == "ann"
    assert names(ann) == [["A0.png", "A1.png"], ["B0.png", "B1.png"], ["C0.png", "C1.png"]]
    assert [photo.name for photo in ann.clean] == ["A0.png", "A1.png", "C0.png", "C1.png"]
    assert not ann.problem
    np.testing.assert_array_equal(ann.protect[1].pixels, picture(11))


def test_set_c_is_optional(tmp_path: Path) -> None:
    for i in range(3):
        write(tmp_path / "ann" / "set_A" / f"{i}.png", picture(i))
    write(tmp_path / "ann" / "set_B" / "b.png", picture(9))
    assert names(load(tmp_path).identities[0]) == [["0.png", "1.png", "2.png"], ["b.png"], []]


@pytest.mark.parametrize(("count", "sizes"), [(6, [2, 2, 2]), (7, [2, 2, 3]), (8, [2, 2, 4]), (12, [4, 4, 4])])
def test_flat_folder_is_split_into_thirds_by_name(tmp_path: Path, count: int, sizes: list[int]) -> None:
    for i in reversed(range(count)):
        write(tmp_path / "bob" / f"{i:02}.png", picture(i))
    sets = names(load(tmp_path).identities[0])
    assert [len(part) for part in sets] == sizes
    assert [name for part in sets for name in part] == [f"{i:02}.png" for i in range(count)]


def test_other_files_and_hidden_ones_are_passed_over(tmp_path: Path) -> None:
    person(tmp_path / "ann")
    (tmp_path / "ann" / "set_A" / "notes.txt").write_text("not a photo")
    (tmp_path / "ann" / "set_A" / ".A0.png").write_text("of a file manager")
    (tmp_path / ".cache").mkdir()
    (tmp_path / "README.md").write_text("not a person")
    data = load(tmp_path)
    assert [identity.name for identity in data.identities] == ["ann"]
    assert names(data.identities[0])[0] == ["A0.png", "A1.png"]


def test_order_and_fingerprint_do_not_depend_on_the_order_of_creation(tmp_path: Path) -> None:
    people = {"ann": 1, "bob": 2, "cid": 3}
    for order in ("forwards", "backwards"):
        for name, seed in sorted(people.items(), reverse=order == "backwards"):
            files = [(part, j) for part in "ABC" for j in range(3)]
            for part, j in files if order == "forwards" else files[::-1]:
                write(tmp_path / order / name / f"set_{part}" / f"{j}.png", picture(seed * 100 + j + 10 * ord(part)))
    forwards, backwards = load(tmp_path / "forwards"), load(tmp_path / "backwards")
    assert forwards.identities == backwards.identities
    assert forwards.selected == ("ann", "bob", "cid")
    assert forwards.fingerprint == backwards.fingerprint


def test_fingerprint_follows_every_pixel(tmp_path: Path) -> None:
    person(tmp_path / "ann")
    before = load(tmp_path).fingerprint
    changed = picture(20)
    changed[3, 3, 0] ^= 1
    write(tmp_path / "ann" / "set_C" / "C0.png", changed)
    assert load(tmp_path).fingerprint != before


def test_equal_pixels_have_equal_hashes_whatever_the_file_format(tmp_path: Path) -> None:
    person(tmp_path / "png" / "ann", suffix=".png")
    person(tmp_path / "bmp" / "ann", suffix=".bmp")
    (png,), (bmp,) = load(tmp_path / "png").identities, load(tmp_path / "bmp").identities
    assert [photo.sha256 for photo in png.clean] == [photo.sha256 for photo in bmp.clean]
    assert len({photo.sha256 for photo in png.clean + png.protect}) == 6


# --- selection ------------------------------------------------------------------------------------------------------


@pytest.fixture
def three_people(tmp_path: Path) -> Path:
    for seed, name in enumerate(("ann", "bob", "cid")):
        person(tmp_path / "people" / name, seed)
    return tmp_path / "people"


def test_limit_selects_the_first_and_keeps_all_for_calibration(three_people: Path) -> None:
    data = load(three_people, limit=2)
    assert data.selected == ("ann", "bob")
    assert [identity.name for identity in data.identities] == ["ann", "bob", "cid"]
    assert load(three_people, limit=0).selected == ("ann", "bob", "cid")
    assert data.fingerprint == load(three_people).fingerprint


def test_wanted_identities_come_in_the_wanted_order(three_people: Path) -> None:
    assert load(three_people, identities=("cid", "ann")).selected == ("cid", "ann")
    assert load(three_people, identities=("cid", "ann"), limit=1).selected == ("cid",)


def test_unknown_identity_gets_a_suggestion(three_people: Path) -> None:
    with pytest.raises(BenchError, match="Unknown identity 'bbo'") as caught:
        load(three_people, identities=("ann", "bbo"))
    assert caught.value.fix == "Did you mean 'bob'? Allowed: ann, bob, cid."


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_missing_root_is_named(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match=r"nowhere: there is no such folder"):
        load(tmp_path / "nowhere")


def test_root_without_folders_asks_for_the_folder_above(tmp_path: Path) -> None:
    write(tmp_path / "a.png", picture(0))
    with pytest.raises(BenchError, match="holds no folders") as caught:
        load(tmp_path)
    assert f"data.root={tmp_path.parent}" in caught.value.fix


@pytest.mark.parametrize("count", [0, 1, 2, 3])
def test_too_few_flat_photos_are_an_error_with_the_counts(tmp_path: Path, count: int) -> None:
    (tmp_path / "ann").mkdir()
    for i in range(count):
        write(tmp_path / "ann" / f"{i}.png", picture(i))
    with pytest.raises(BenchError, match=r"ann has too few photos \(\d in A, \d in B, \d in C\)"):
        load(tmp_path)


@pytest.mark.parametrize("counts", [{"A": 2, "B": 4}, {"A": 4, "B": 0}, {"B": 4, "C": 4}, {"A": 1, "B": 4, "C": 1}])
def test_too_few_photos_in_the_sets_are_an_error(tmp_path: Path, counts: dict[str, int]) -> None:
    for part, count in counts.items():
        (tmp_path / "ann" / f"set_{part}").mkdir(parents=True)
        for i in range(count):
            write(tmp_path / "ann" / f"set_{part}" / f"{i}.png", picture(i))
    with pytest.raises(BenchError, match="too few photos"):
        load(tmp_path)


@pytest.mark.parametrize("damage", ["text", "empty", "cut off"])
def test_file_that_is_no_picture_is_named(tmp_path: Path, damage: str) -> None:
    person(tmp_path / "ann")
    bad = tmp_path / "ann" / "set_B" / "B1.png"
    whole = bad.read_bytes()
    bad.write_bytes({"text": b"I am not a picture.", "empty": b"", "cut off": whole[: len(whole) // 2]}[damage])
    with pytest.raises(BenchError, match="cannot be read as a picture") as caught:
        load(tmp_path)
    assert str(bad) in caught.value.message


def test_settings_of_the_folder_are_checked() -> None:
    with pytest.raises(BenchError, match=r"Unknown setting 'data\.rot'"):
        SOURCES.create("folder", {"rot": "photos"})
    with pytest.raises(BenchError, match=r"data\.crop='middle'"):
        SOURCES.create("folder", {"root": "photos", "crop": "middle"})


# --- shapes ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("height", "width"), [(10, 20), (20, 10), (11, 21), (10, 14)])
def test_centre_crop_is_the_middle_square(height: int, width: int) -> None:
    pixels = picture(0, height, width)
    square = np.asarray(crop_centre(Image.fromarray(pixels)))
    side = min(height, width)
    top, left = (height - side) // 2, (width - side) // 2
    np.testing.assert_array_equal(square, pixels[top : top + side, left : left + side])


def test_crop_outside_the_photo_repeats_its_border() -> None:
    pixels = picture(0, 4, 4)
    crop = np.asarray(crop_square(Image.fromarray(pixels), (-2, -1, 6, 7)))
    expected = np.pad(pixels, ((1, 3), (2, 2), (0, 0)), mode="edge")
    np.testing.assert_array_equal(crop, expected)


def test_crop_inside_the_photo_is_a_plain_cut() -> None:
    pixels = picture(0, 8, 8)
    crop = np.asarray(crop_square(Image.fromarray(pixels), (1.2, 2.4, 4.1, 5.3)))
    np.testing.assert_array_equal(crop, pixels[2:5, 1:4])


def test_photos_are_resized_to_the_resolution(tmp_path: Path) -> None:
    person(tmp_path / "ann")
    photo = load(tmp_path, resolution=8).identities[0].reference[0]
    assert photo.pixels.shape == (8, 8, 3)
    assert photo.pixels.dtype == np.uint8


def test_resize_to_the_own_size_changes_nothing() -> None:
    np.testing.assert_array_equal(resize(Image.fromarray(picture(0)), SIDE), picture(0))


# --- conversions ----------------------------------------------------------------------------------------------------


def test_png_gives_back_the_pixels(tmp_path: Path) -> None:
    file = tmp_path / "a.png"
    file.write_bytes(png_bytes(picture(0, 7, 9)))
    np.testing.assert_array_equal(read_png(file), picture(0, 7, 9))


def test_png_of_equal_pixels_is_equal_to_the_byte() -> None:
    assert png_bytes(picture(0)) == png_bytes(picture(0))


def test_all_grey_levels_survive_the_way_to_a_tensor_and_back() -> None:
    levels = np.arange(256, dtype=np.uint8).reshape(16, 16, 1).repeat(3, axis=2)
    (back,) = to_pixels(to_tensor([levels]))
    np.testing.assert_array_equal(back, levels)
    assert back.dtype == np.uint8


def test_tensor_is_channels_first_in_unit_range() -> None:
    pictures = [picture(0, 4, 6), picture(1, 4, 6)]
    tensor = to_tensor(pictures)
    assert tensor.shape == (2, 3, 4, 6)
    assert tensor.dtype == torch.float32
    assert tensor[1, 2, 3, 5].item() == pytest.approx(pictures[1][3, 5, 2] / 255)


def test_values_outside_the_range_are_clipped_and_the_rest_rounded_to_the_nearest_level() -> None:
    values = torch.tensor([-0.5, 1.5, 100.4 / 255, 100.6 / 255]).reshape(1, 1, 2, 2).repeat(1, 3, 1, 1)
    assert to_pixels(values)[0][..., 0].ravel().tolist() == [0, 255, 100, 101]


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), float("-inf")])
def test_values_that_are_not_finite_are_an_error_and_never_a_black_picture(bad: float) -> None:
    photos = torch.full((1, 3, 4, 4), 0.5)
    photos[0, 1, 2, 3] = bad
    with pytest.raises(BenchError, match="not finite"):
        to_pixels(photos)


def test_small_photos_are_cropped_around_the_face_unless_told_otherwise(tmp_path: Path) -> None:
    person(tmp_path / "nobody")  # noise: there is no face to crop around
    assert "no face" in load(tmp_path, 128, crop="auto").identities[0].problem
    assert load(tmp_path, 256, crop="auto").identities[0].problem == ""
    assert load(tmp_path, 128, crop="centre").identities[0].problem == ""
