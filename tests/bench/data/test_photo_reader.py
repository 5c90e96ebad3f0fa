"""Photos of all kinds open upright, as RGB and with the right colours; what cannot is refused by its name."""

from __future__ import annotations

import base64
import io
import warnings
import zlib
from pathlib import Path
from typing import Any
from unittest.mock import Mock

import numpy as np
import pytest
from PIL import Image, ImageCms

import attacks
import bench
import countermeasures
import defenses
import leaderboard
import metrics
from bench.core.errors import BenchError
from bench.core.types import Pixels
from bench.data.photo_reader import MOST_PIXELS, is_picture, read_image
from tests.support.heic import HEIC

SIDE = 16


def picture(seed: int, height: int = SIDE, width: int = SIDE) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)


def saved(image: Image.Image, file: Path, **options: Any) -> Path:
    image.save(file, **options)
    return file


def read(file: Path) -> Pixels:
    return np.asarray(read_image(file))


# --- which way is up --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp", ".avif"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_is_applied(tmp_path: Path, orientation: int, suffix: str) -> None:
    """A phone's portrait is stored lying; whoever ignores that trains on lying faces."""
    upright = np.kron(np.array([[0, 80], [160, 255], [40, 200]], np.uint8), np.ones((8, 8), np.uint8))
    # How a camera stores an upright scene under each of the EXIF standard's eight orientations.
    stored = {
        1: upright,
        2: upright[:, ::-1],
        3: upright[::-1, ::-1],
        4: upright[::-1],
        5: upright.swapaxes(0, 1),
        6: np.rot90(upright, 1),
        7: upright[::-1, ::-1].swapaxes(0, 1),
        8: np.rot90(upright, -1),
    }
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(np.ascontiguousarray(stored[orientation])).convert("RGB")
    options: dict[str, dict[str, Any]] = {
        ".webp": {"lossless": True},
        ".avif": {"quality": 100, "subsampling": "4:4:4"},
    }
    file = saved(image, tmp_path / f"phone{suffix}", exif=exif.tobytes(), **options.get(suffix, {}))
    pixels = read(file)
    assert pixels.shape == (24, 16, 3)
    np.testing.assert_allclose(pixels[4::8, 4::8, 0].astype(int), upright[4::8, 4::8], atol=2)


@pytest.mark.parametrize("orientation", [0, 9, 300])
def test_an_orientation_that_does_not_exist_is_none(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    file = saved(Image.fromarray(picture(0)), tmp_path / "odd.png", exif=exif.tobytes())
    np.testing.assert_array_equal(read(file), picture(0))


def test_exif_that_cannot_be_read_is_told_of_with_the_file(tmp_path: Path) -> None:
    file = saved(Image.fromarray(picture(0)), tmp_path / "odd.png", exif=b"Exif\0\0no EXIF at all")
    with pytest.raises(BenchError, match=r"odd\.png has EXIF data that cannot be read"):
        read_image(file)


def test_a_phone_s_heic_is_upright(tmp_path: Path) -> None:
    file = tmp_path / "IMG_1.HEIC"
    file.write_bytes(base64.b64decode(HEIC))
    pixels = read(file).astype(int)
    assert pixels.shape == (16, 8, 3)
    np.testing.assert_allclose(pixels[2:6, 2:6].mean((0, 1)), (255, 0, 0), atol=3)
    np.testing.assert_allclose(pixels[10:14, 2:6].mean((0, 1)), (0, 0, 255), atol=3)


# --- colours ----------------------------------------------------------------------------------------------------------


def test_grayscale_has_three_equal_channels(tmp_path: Path) -> None:
    gray = picture(0)[..., 0]
    file = saved(Image.fromarray(gray), tmp_path / "gray.png")
    np.testing.assert_array_equal(read(file), np.stack([gray] * 3, axis=-1))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".webp"])
def test_alpha_is_dropped(tmp_path: Path, suffix: str) -> None:
    pixels = picture(0)
    layers = Image.fromarray(np.dstack([pixels, np.full((SIDE, SIDE), 128, np.uint8)]))
    options = {"lossless": True, "exact": True} if suffix == ".webp" else {}
    np.testing.assert_array_equal(read(saved(layers, tmp_path / f"alpha{suffix}", **options)), pixels)


def test_grey_with_alpha_is_grey(tmp_path: Path) -> None:
    image = Image.merge("LA", [Image.fromarray(picture(0)[..., 0]), Image.new("L", (SIDE, SIDE), 7)])
    np.testing.assert_array_equal(read(saved(image, tmp_path / "a.png"))[..., 1], picture(0)[..., 0])


@pytest.mark.parametrize("suffix", [".png", ".gif", ".tiff", ".bmp"])
def test_palette_becomes_its_colours(tmp_path: Path, suffix: str) -> None:
    image = Image.fromarray(picture(0)).quantize(16)
    file = saved(image, tmp_path / f"palette{suffix}")
    with Image.open(file) as stored:
        assert stored.mode == "P"
    np.testing.assert_array_equal(read(file), np.asarray(image.convert("RGB")))


def test_a_palette_with_a_transparent_colour_warns_nobody(tmp_path: Path) -> None:
    image = Image.fromarray(picture(0)).quantize(16)
    file = saved(image, tmp_path / "palette.png", transparency=bytes(range(16)))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read(file), np.asarray(image.convert("RGB")))


@pytest.mark.parametrize("suffix", [".png", ".tiff", ".jp2"])
def test_16_bits_of_grey_are_scaled_and_not_clipped(tmp_path: Path, suffix: str) -> None:
    ramp = np.linspace(0, 65535, 256).reshape(16, 16).astype(np.uint16)
    pixels = read(saved(Image.fromarray(ramp), tmp_path / f"ramp{suffix}"))
    np.testing.assert_allclose(pixels[..., 0].astype(int), np.arange(256).reshape(16, 16), atol=1)


def test_16_bits_a_colour_are_scaled_and_not_clipped(tmp_path: Path) -> None:
    """Pillow writes none, so the file is made by hand: a binary PPM with 65,535 levels."""
    levels = np.linspace(0, 65535, 12).reshape(2, 2, 3).astype(">u2")
    (tmp_path / "deep.ppm").write_bytes(b"P6 2 2 65535\n" + levels.tobytes())
    np.testing.assert_allclose(read(tmp_path / "deep.ppm").astype(int), levels / 257, atol=1)


@pytest.mark.parametrize(
    ("ink", "colour"),
    [((0, 0, 0, 0), (255, 255, 255)), ((0, 255, 255, 0), (255, 0, 0)), ((0, 0, 0, 255), (0, 0, 0))],
)
@pytest.mark.parametrize("suffix", [".jpg", ".tiff"])
def test_inks_become_their_colours(tmp_path: Path, suffix: str, ink: tuple[int, ...], colour: tuple[int, ...]) -> None:
    pixels = read(saved(Image.new("CMYK", (SIDE, SIDE), ink), tmp_path / f"print{suffix}"))
    np.testing.assert_allclose(pixels[5, 5].astype(int), colour, atol=3)


SRGB, XYZ = (ImageCms.ImageCmsProfile(ImageCms.createProfile(space)).tobytes() for space in ("sRGB", "XYZ"))


def test_colours_of_a_profile_become_srgb(tmp_path: Path) -> None:
    """By a space that is sRGB but for its first two primaries, which are exchanged."""
    swapped = SRGB.replace(b"rXYZ", b"????").replace(b"gXYZ", b"rXYZ").replace(b"????", b"gXYZ")
    swapped = swapped.replace("sRGB".encode("utf-16-be"), "sGRB".encode("utf-16-be"))
    image = Image.new("RGB", (SIDE, SIDE), (200, 50, 90))
    pixels = read(saved(image, tmp_path / "other.png", icc_profile=swapped))
    np.testing.assert_allclose(pixels[3, 3].astype(int), (50, 200, 90), atol=1)
    pixels = read(saved(image.convert("RGBA"), tmp_path / "layers.png", icc_profile=swapped))
    np.testing.assert_allclose(pixels[3, 3].astype(int), (50, 200, 90), atol=1)


@pytest.mark.parametrize(
    "profile", [SRGB, b"no profile", ImageCms.ImageCmsProfile(ImageCms.createProfile("XYZ")).tobytes()]
)
def test_profiles_that_change_nothing_or_are_broken_change_nothing(tmp_path: Path, profile: bytes) -> None:
    file = saved(Image.fromarray(picture(0)), tmp_path / "same.png", icc_profile=profile)
    np.testing.assert_array_equal(read(file), picture(0))


# --- refused by name --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("suffix", [".gif", ".webp", ".png", ".tiff", ".avif"])
def test_of_an_animation_nobody_knows_which_picture_is_meant(tmp_path: Path, suffix: str) -> None:
    frames = [Image.fromarray(picture(seed)) for seed in range(3)]
    file = saved(frames[0], tmp_path / f"moving{suffix}", save_all=True, append_images=frames[1:])
    with pytest.raises(BenchError, match=rf"moving\{suffix} holds 3 pictures"):
        read_image(file)


def test_a_camera_s_two_views_are_one_photo(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (SIDE, SIDE), colour) for colour in ("red", "blue")]
    file = saved(frames[0], tmp_path / "stereo.mpo", format="MPO", save_all=True, append_images=frames[1:])
    assert read(file)[8, 8].tolist() == [254, 0, 0]


@pytest.mark.parametrize("mode", ["I", "F"])
def test_values_without_a_known_white_are_refused(tmp_path: Path, mode: str) -> None:
    with pytest.raises(BenchError, match=r"deep\.tiff has values of unusual depth"):
        read_image(saved(Image.new(mode, (SIDE, SIDE), 7), tmp_path / "deep.tiff"))


def too_large(file: Path) -> Path:
    """A PNG whose header says 20,000 x 20,000; nothing else of it is looked at."""
    data = bytearray(saved(Image.new("1", (8, 8)), file).read_bytes())
    data[16:24] = (20_000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    file.write_bytes(data)
    return file


def test_a_photo_with_too_many_pixels_is_named_with_what_is_allowed(tmp_path: Path) -> None:
    file = too_large(tmp_path / "huge.png")
    with pytest.raises(BenchError, match=r"huge\.png is too large: a photo may have 179 megapixels"):
        read_image(file)
    assert MOST_PIXELS == 178_956_970
    assert is_picture(file)


def test_a_large_photo_warns_nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = saved(Image.fromarray(picture(0)), tmp_path / "large.png")
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", SIDE * SIDE - 1)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read(file), picture(0))


@pytest.mark.parametrize("suffix", [".jpg", ".png", ".webp", ".tiff", ".gif", ".bmp", ".avif", ".jp2"])
@pytest.mark.parametrize("share", [0.0, 0.3, 0.9])
def test_damaged_photos_are_named(tmp_path: Path, suffix: str, share: float) -> None:
    file = saved(Image.fromarray(picture(0, 64, 64)), tmp_path / f"bad{suffix}")
    whole = file.read_bytes()
    file.write_bytes(whole[: int(share * len(whole))])
    with pytest.raises(BenchError, match=rf"bad\{suffix} cannot be read as a picture"):
        read_image(file)


def test_a_damaged_heic_is_named(tmp_path: Path) -> None:
    file = tmp_path / "bad.heic"
    file.write_bytes(base64.b64decode(HEIC)[:300])
    with pytest.raises(BenchError, match=r"bad\.heic cannot be read as a picture"):
        read_image(file)


def test_postscript_is_not_run_whatever_it_is_called(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    Image.fromarray(picture(0)).save(buffer, "EPS")
    (tmp_path / "photo.png").write_bytes(buffer.getvalue())
    with pytest.raises(BenchError, match=r"photo\.png cannot be read as a picture \(UnidentifiedImageError\)"):
        read_image(tmp_path / "photo.png")
    assert not is_picture(tmp_path / "photo.png")


def test_bytes_are_named_by_where_they_came_from() -> None:
    with pytest.raises(BenchError, match=r"^row 7 cannot be read"):
        read_image(io.BytesIO(b"nothing"), "row 7")


def test_no_other_code_opens_a_picture_as_whatever_it_is() -> None:
    """What says no formats lets Pillow start Ghostscript; `jpeg` reads what it has written a line above."""
    packages = (bench, defenses, attacks, countermeasures, metrics, leaderboard)
    files = [file for package in packages for file in Path(*package.__path__).rglob("*.py")]
    opening = {
        f"{file.stem}: {line.strip()}"
        for file in files
        for line in file.read_text().splitlines()
        if "Image.open(" in line and "formats=" not in line
    }
    assert opening == {"images: with Image.open(buffer) as image:"}


def test_the_limit_holds_where_another_library_lifts_pillow_s(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", None)
    with pytest.raises(BenchError, match=r"huge\.png is too large: a photo may have 179 megapixels"):
        read_image(too_large(tmp_path / "huge.png"))


@pytest.mark.parametrize("error", [KeyError("x"), RuntimeError("x"), IndexError("x"), MemoryError()])
def test_whatever_a_decoder_raises_a_file_is_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    file = saved(Image.fromarray(picture(0)), tmp_path / "x.png")
    monkeypatch.setattr(Image, "open", Mock(side_effect=error))
    assert not is_picture(file)
    with pytest.raises(BenchError, match=r"x\.png cannot be read as a picture"):
        read_image(file)
