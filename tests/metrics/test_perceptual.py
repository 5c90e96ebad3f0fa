"""Measures of visibility and of pictures' quality against independent implementations and answers known by hand."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import pytest
import torch
from scipy.ndimage import gaussian_filter
from skimage.color import deltaE_ciede2000, rgb2lab
from torchmetrics.functional.image import multiscale_structural_similarity_index_measure

from bench.core.images import to_tensor
from bench.core.types import Pixels
from metrics.perceptual import ciede2000, gmsd, l1, ms_ssim, worst
from metrics.quality import blur, usable
from metrics.visibility import ssim
from tests.support.pictures import constant, disturbed, photo


def large(rng: np.random.Generator) -> Pixels:
    return photo(rng, 192, 200)


@pytest.mark.parametrize("levels", [4, 16, 64])
def test_ms_ssim_agrees_with_torchmetrics(rng: np.random.Generator, levels: int) -> None:
    """It averages the channels before it multiplies the scales, so single channels are compared; borders differ."""
    clean = large(rng)
    grey = np.repeat(clean[:, :, :1], 3, axis=2)
    cloaked = np.repeat(disturbed(clean, rng, levels)[:, :, :1], 3, axis=2)
    expected = multiscale_structural_similarity_index_measure(
        to_tensor([grey])[:, :1].double(), to_tensor([cloaked])[:, :1].double(), data_range=1.0, normalize="relu"
    )
    assert ms_ssim(grey, cloaked) == pytest.approx(float(expected), abs=2e-3)


def test_ms_ssim_of_two_flat_photos_by_hand() -> None:
    """Only the coarsest scale has a luminance term, and its exponent is 0.1333."""
    c1 = (0.01 * 255) ** 2
    luminance = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ms_ssim(constant(100, 176, 176), constant(120, 176, 176)) == pytest.approx(luminance**0.1333)


def test_ms_ssim_needs_a_large_photo(rng: np.random.Generator) -> None:
    assert ms_ssim(constant(100, 175, 300), constant(100, 175, 300)) is None
    clean = large(rng)
    assert ms_ssim(clean, clean) == pytest.approx(1)


def test_gmsd_against_the_formula_pixel_by_pixel(rng: np.random.Generator) -> None:
    """Xue et al. 2014, equations 1 to 6, written out for one pixel at a time."""
    clean = photo(rng, 12, 14)
    cloaked = disturbed(clean, rng, 16)

    def gradients(picture: Pixels) -> list[float]:
        luma = picture.astype(float) @ [0.299, 0.587, 0.114]
        h, w = luma.shape[0] // 2, luma.shape[1] // 2
        small = np.zeros((h + 2, w + 2))
        for y in range(h):
            for x in range(w):
                small[y + 1, x + 1] = luma[2 * y : 2 * y + 2, 2 * x : 2 * x + 2].mean()
        found = []
        for y in range(1, h + 1):
            for x in range(1, w + 1):
                patch = small[y - 1 : y + 2, x - 1 : x + 2]
                across = (patch[:, 0] - patch[:, 2]).sum() / 3
                down = (patch[0] - patch[2]).sum() / 3
                found.append(math.hypot(across, down))
        return found

    pairs = zip(gradients(clean), gradients(cloaked), strict=True)
    similarities = [(2 * a * b + 170) / (a * a + b * b + 170) for a, b in pairs]
    assert gmsd(clean, cloaked) == pytest.approx(float(np.std(similarities)), abs=1e-12)


@pytest.mark.parametrize("levels", [4, 32])
def test_pyiqa_gives_the_same_numbers(rng: np.random.Generator, levels: int) -> None:
    pyiqa = pytest.importorskip("pyiqa", reason="needs pip install 'cloakbench[full]'")
    clean = large(rng)
    cloaked = disturbed(clean, rng, levels)
    x, y = to_tensor([cloaked]), to_tensor([clean])
    theirs = float(pyiqa.create_metric("gmsd", device="cpu")(x, y))  # which rounds luma to whole levels
    assert gmsd(clean, cloaked) == pytest.approx(theirs, abs=5e-4)
    theirs = float(pyiqa.create_metric("ms_ssim", device="cpu", test_y_channel=False)(x, y))
    assert ms_ssim(clean, cloaked) == pytest.approx(theirs, abs=1e-4)
    assert ssim(clean, cloaked) == pytest.approx(float(pyiqa.create_metric("ssimc", device="cpu")(x, y)), abs=1e-6)


def test_ciede2000_by_hand(rng: np.random.Generator) -> None:
    """Black against white is a difference in lightness alone: 100 / S_L at the mean lightness 50, where S_L is 1."""
    assert ciede2000(constant(0), constant(255)) == pytest.approx(100, abs=1e-3)
    clean = photo(rng)
    cloaked = disturbed(clean, rng, 16)
    double = deltaE_ciede2000(rgb2lab(clean), rgb2lab(cloaked)).mean()
    assert ciede2000(clean, cloaked) == pytest.approx(double, abs=1e-6)
    assert ciede2000(clean, clean) == 0
    assert 0 < ciede2000(clean, disturbed(clean, rng, 4)) < ciede2000(clean, disturbed(clean, rng, 16))


def test_l1_by_hand() -> None:
    cloaked = constant(200)
    cloaked[0, 0] = (250, 200, 190)
    assert l1(constant(200), cloaked) == pytest.approx(60 / cloaked.size)


@pytest.mark.parametrize(
    ("values", "lower", "expected"),
    [
        ([1, 2, 3, 4], True, 4),
        ([1, 2, 3, 4], False, 1),
        (range(20), True, 18.5),
        (range(11), False, 0.5),
        ([7], True, 7),
    ],
)
def test_the_worst_tenth_follows_the_direction(values: list[float], lower: bool, expected: float) -> None:
    assert worst(list(values), lower) == expected


def test_blur_grows_with_blurring_and_does_not_like_flat_pictures(rng: np.random.Generator) -> None:
    sharp = rng.integers(0, 256, (64, 64, 3)).astype(np.uint8)
    soft = [gaussian_filter(sharp.astype(float), (s, s, 0)).astype(np.uint8) for s in (1, 3)]
    assert blur(sharp) < blur(soft[0]) < blur(soft[1]) <= 1
    assert blur(constant(90)) == 1.0


def test_usable_is_no_worse_than_the_worst_twentieth_of_the_clean_arm() -> None:
    clean = np.arange(101.0)
    assert usable(np.array([4.9, 5.0, 99.0, math.nan]), clean, lower_is_better=True).tolist() == [0, 1, 1, 0]
    assert usable(np.array([95.1, 95.0, 1.0]), clean, lower_is_better=False).tolist() == [0, 1, 1]


@pytest.mark.parametrize("measure", [l1, gmsd, ciede2000])
def test_a_photo_scores_the_same_whatever_was_scored_before(
    rng: np.random.Generator, measure: Callable[[Pixels, Pixels], float]
) -> None:
    pairs = [(clean := photo(rng), disturbed(clean, rng, 8)) for _ in range(64)]
    together = [measure(*pair) for pair in pairs]
    assert [measure(*pair) for pair in reversed(pairs)] == together[::-1]
    torch.manual_seed(1)
    assert measure(*pairs[0]) == together[0]
