"""Strengths in pixels go with the photo's side: treated and shrunk is about shrunk and treated."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.ndimage import gaussian_filter
from torch import Tensor

from bench.core.types import Array, Pixels
from countermeasures import COUNTERMEASURES
from countermeasures.adverse_cleaner import AdverseCleaner, bilateral, variance
from countermeasures.picture_scale import picture_scale, resampled

IN_PIXELS = ("blur", "tvm", "adverse_cleaner")


def photo(side: int) -> Pixels:
    """(side, side, 3): smooth areas with edges, texture as fine as a smaller photo can show, and some grain."""
    rng = np.random.default_rng(0)
    areas = gaussian_filter(rng.normal(size=(side, side, 3)), (side / 16, side / 16, 0), mode="mirror") > 0
    texture = gaussian_filter(rng.normal(size=(side, side, 3)), (side / 64, side / 64, 0), mode="mirror")
    values = 128 + 60 * (areas - 0.5) + 20 * texture / texture.std() + 6 * rng.normal(size=areas.shape)
    pixels: Pixels = values.clip(0, 255).astype(np.uint8)
    return pixels


def shrunk(picture: Pixels, side: int) -> Pixels:
    return np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BOX))


def treated(name: str, picture: Pixels, **settings: Any) -> Pixels:
    return COUNTERMEASURES.create(name, settings).apply([picture], torch.Generator())[0]


def apart(one: Pixels, other: Pixels) -> float:
    return float(np.sqrt(np.square(one.astype(float) - other).mean()))


@pytest.mark.parametrize(
    ("name", "settings", "most"),
    [
        ("blur", {}, 0.5),
        ("blur", {"kernel_at_512": 21}, 0.2),
        ("tvm", {"weight_at_512": 0.2}, 0.5),
        ("adverse_cleaner", {}, 0.33),
    ],
)
def test_a_photo_of_half_the_size_is_treated_half_as_wide(name: str, settings: dict[str, Any], most: float) -> None:
    """The difference is a share of what the treatment does; with the same pixels at both sizes it is 0.4 to 1.5."""
    large = photo(256)
    small = shrunk(large, 128)
    expected = shrunk(treated(name, large, **settings), 128)
    assert apart(treated(name, small, **settings), expected) < most * apart(small, expected)


@pytest.mark.parametrize("name", IN_PIXELS)
def test_settings_say_at_which_size_they_hold(name: str) -> None:
    assert any(setting.endswith("_at_512") for setting in COUNTERMEASURES.get(name).__dataclass_fields__)


def test_tvm_has_its_weight_at_full_size_and_a_quarter_of_it_at_128(monkeypatch: pytest.MonkeyPatch) -> None:
    weights = []

    def note(picture: Array, weight: float, channel_axis: int) -> Array:
        weights.append(weight)
        return picture

    monkeypatch.setattr("skimage.restoration.denoise_tv_chambolle", note)
    for side in (512, 128):
        treated("tvm", photo(side))
    assert weights == [0.05, 0.0125]


def test_adverse_cleaner_is_as_published_at_full_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """64 bilateral filters of 5 px, then 4 guided ones of radius 4, in this order."""
    asked: list[tuple[Any, ...]] = []

    def note_bilateral(photos: Tensor, *settings: float) -> Tensor:
        asked.append(settings)
        return photos

    def note_guided(photos: Tensor, guide: Tensor, *settings: float) -> Tensor:
        return note_bilateral(photos, *settings)

    monkeypatch.setattr("countermeasures.adverse_cleaner.bilateral", note_bilateral)
    monkeypatch.setattr("countermeasures.adverse_cleaner.guided", note_guided)
    treated("adverse_cleaner", photo(512))
    assert asked == [(5, 8.0, 8.0)] * 64 + [(4, 16.0)] * 4


@pytest.mark.parametrize("side", [64, 128, 256, 512, 1024])
def test_the_rounds_make_up_for_whole_pixels(side: int) -> None:
    """All bilateral filters together spread a point as far, in shares of the photo: what one does, by its answer to a
    point, times how many there are."""
    cleaner, scale = AdverseCleaner(), side / 512
    at_512 = 64 * _answered(5, 8.0)
    diameter = 2 * max(1, round(2 * scale)) + 1
    assert cleaner.rounds(scale) * _answered(diameter, 8 * scale) / scale**2 == pytest.approx(at_512, rel=0.3)


def _answered(diameter: int, space: float) -> float:
    """Variance along one axis of a bilateral filter's answer to a faint point."""
    point = torch.zeros(1, 3, 31, 31)
    point[..., 15, 15] = 1e-3
    answer = bilateral(point, diameter, 8.0, space)[0, 0].double()
    places = torch.arange(31) - 15
    found = float((answer.sum(dim=0) * places**2).sum() / answer.sum())
    assert found == pytest.approx(variance(diameter, space), rel=1e-3)
    return found


# --- kernels of other sizes ------------------------------------------------------------------------------------------


def spread(kernel: Array) -> float:
    places = np.arange(len(kernel)) - len(kernel) // 2
    return float((kernel * places**2).sum() / kernel.sum())


KERNEL: Array = np.array([1.0, 4.0, 6.0, 4.0, 1.0]) / 16


@pytest.mark.parametrize("scale", [1 / 16, 0.25, 0.4, 0.5, 1.0, 2.0, 3.0])
def test_a_kernel_keeps_sum_and_symmetry_and_its_variance_goes_with_the_area(scale: float) -> None:
    found = resampled(KERNEL, scale)
    assert len(found) % 2 == 1
    assert found.sum() == pytest.approx(1)
    assert np.allclose(found, found[::-1])
    assert spread(found) == pytest.approx(scale**2 * spread(KERNEL), rel=1e-6)


def test_at_scale_one_it_is_the_kernel_itself() -> None:
    assert np.allclose(np.trim_zeros(resampled(KERNEL, 1.0)), KERNEL, atol=1e-15)


def test_a_larger_kernel_is_smooth() -> None:
    """No gaps between what were neighbours: it falls from its middle on."""
    found = resampled(KERNEL, 3.0)
    right = found[len(found) // 2 :]
    assert (np.diff(right[right > 1e-3]) < 0).all()


def test_the_shorter_side_counts() -> None:
    assert picture_scale((512, 700)) == 1
    assert picture_scale((128, 128)) == 0.25
