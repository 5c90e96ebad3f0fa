"""Cloaks of photos of any size: the budget on the photo's own pixels, nothing outside the square, names and places."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

import bench.cloak as command
from bench.api import cloak
from bench.core.errors import BenchError
from bench.core.types import Budget
from bench.data.synthetic import ROOT as SYNTHETIC
from bench.runner.full_size import brought_back, square_of

QUICK = ["defense=noise"]
FACE = sorted(SYNTHETIC.glob("p*/set_A/*.png"))[0]


def scene(size: tuple[int, int] = (900, 600), side: int = 400, at: tuple[int, int] = (300, 100)) -> Image.Image:
    """A photo of an invented person in front of something uneven."""
    rough = np.random.default_rng(0).integers(60, 200, (6, 9, 3), dtype=np.uint8)
    image = Image.fromarray(rough).resize(size, Image.Resampling.BICUBIC)
    image.paste(Image.open(FACE).convert("RGB").resize((side, side), Image.Resampling.BICUBIC), at)
    return image


@given(
    st.integers(-30, 60),
    st.integers(-30, 60),
    st.integers(1, 90),
    st.integers(1, 40),
    st.integers(0, 20),
    st.integers(0, 99),
)
@settings(max_examples=50)
def test_a_change_brought_back_keeps_the_budget_and_the_rest_of_the_photo(
    left: int, top: int, side: int, small: int, levels: int, seed: int
) -> None:
    random = np.random.default_rng(seed)
    photo = random.integers(0, 256, (50, 70, 3), dtype=np.uint8)
    change = random.integers(-levels, levels + 1, (small, small, 3)).astype(np.int16)
    square = (left, top, left + side, top + side)
    difference = brought_back(photo, change, square, Budget(levels)).astype(int) - photo
    assert abs(difference).max() <= levels
    inside = np.zeros((50, 70), bool)
    inside[max(top, 0) : max(top + side, 0), max(left, 0) : max(left + side, 0)] = True
    assert not difference[~inside].any()


def test_a_square_of_the_bases_own_size_gets_the_change_itself() -> None:
    photo = np.full((40, 40, 3), 100, np.uint8)
    change = np.random.default_rng(0).integers(-8, 9, (16, 16, 3)).astype(np.int16)
    cloaked = brought_back(photo, change, (5, 9, 21, 25), Budget(8))
    assert (cloaked[9:25, 5:21].astype(int) - 100 == change).all()


def test_the_square_is_around_the_face_wherever_it_is() -> None:
    left, top, right, bottom = square_of(scene(at=(300, 100))) or (0, 0, 0, 0)
    assert right - left == pytest.approx(bottom - top, abs=1)
    assert left < 500 < right
    assert top < 300 < bottom
    moved = square_of(scene(at=(420, 100))) or (0, 0, 0, 0)
    assert moved[0] - left == pytest.approx(120, abs=15)


def test_a_small_face_in_a_large_photo_is_found() -> None:
    square = square_of(scene((2400, 1600), side=320, at=(1500, 900)))
    assert square is not None
    assert square[0] < 1660 < square[2]


def test_photos_without_a_face_have_no_square() -> None:
    assert square_of(Image.new("RGB", (300, 200), "grey")) is None
    with pytest.raises(BenchError, match="No face found in 000"):
        cloak(Image.new("RGB", (300, 200), "grey"), "noise")


def test_arrays_pictures_and_files_are_cloaked_alike(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    image = scene()
    (tmp_path / "photos").mkdir()
    image.save("photos/a.png")
    (one,), (two,), (three,) = (cloak(x, "noise", 8) for x in (image, np.asarray(image), "photos/a.png"))
    assert (np.asarray(one.image) == np.asarray(two.image)).all()
    assert (np.asarray(one.image) == np.asarray(three.image)).all()
    assert (one.linf, three.name) == (8, "a.png")
    assert one.image.size == image.size


def test_the_command_keeps_names_sizes_and_the_way_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos" / "bob").mkdir(parents=True)
    image = scene()
    turned = Image.Exif()
    turned[0x112] = 6  # the camera was turned: viewers rotate the file's pixels
    image.rotate(90, expand=True).save("photos/turned.png", exif=turned)
    image.save("photos/bob/plain.jpg", quality=95)
    Image.new("RGB", (300, 200), "grey").save("photos/wall.png")
    assert command.main(["photos", "-o", "out", *QUICK, "budget=4"]) == 1
    assert not (tmp_path / "out" / "wall.png").exists()
    with Image.open("out/turned.png") as cloaked:
        assert (cloaked.size, cloaked.getexif().get(0x112)) == (image.size, None)
        assert abs(np.asarray(cloaked).astype(int) - np.asarray(image)).max() == 4
    with Image.open("out/bob/plain.png") as cloaked, Image.open("photos/bob/plain.jpg") as plain:
        assert abs(np.asarray(cloaked).astype(int) - np.asarray(plain)).max() == 4
    printed = capsys.readouterr().out
    assert "No face found, not written: photos/wall.png" in printed
    assert "protects from no real one" in printed


def test_two_photos_that_would_be_saved_as_one_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("a.png", "a.bmp"):
        scene().save(name)
    with pytest.raises(BenchError, match=r"a\.bmp and a\.png.*saved as a\.png"):
        command.main([".", "-o", "out", *QUICK])
