"""Further measures of how visible a cloak is, on the saved 8-bit photos at their own size.

`metrics.visibility` has those that the audit of cloaks and the oldest records rest on. It is apart because the keys of
stored cloaks follow its code: a new measure must not cost anybody their cloaks.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from bench.core.types import Array, Pixels
from metrics.metric import LEVELS, SHARE, Metric

SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""Exponents of the scales, the finest first (Wang et al. 2003, section 3.2)."""
MS_SSIM_SIDE = 176
"""The window of 11 px must fit into the coarsest of five scales."""

PREWITT = np.tile([1 / 3, 0, -1 / 3], (3, 1))
GMSD_C = 170.0


def ms_ssim(clean: Pixels, cloaked: Pixels) -> float | None:
    """Multi-scale structural similarity (Wang et al. 2003), in [0, 1]; None below 176 px. Higher is less visible.

    The variant: `ssim`'s window and constants on five scales, each the 2x2 means of the one before; products within
    each RGB channel, then their mean; a scale of negative structure counts as 0.
    """
    if min(clean.shape[:2]) < MS_SSIM_SIDE:
        return None
    x, y = clean.astype(np.float64), cloaked.astype(np.float64)
    product = np.ones(3)
    for scale, weight in enumerate(SCALE_WEIGHTS, start=1):
        luminance, structure = _ssim_maps(x, y)
        last = scale == len(SCALE_WEIGHTS)
        means = (luminance * structure if last else structure).mean(axis=(0, 1))
        product *= np.maximum(means, 0) ** weight
        x, y = _halved(x), _halved(y)
    return float(product.mean())


def gmsd(clean: Pixels, cloaked: Pixels) -> float:
    """Gradient magnitude similarity deviation (Xue et al. 2014), 0 for identical photos. Lower is less visible.

    The variant, as the authors': luma (ITU-R BT.601), 2x2 means, every second pixel, Prewitt gradients, c = 170.
    """
    x, y = (_gradient(_luma(picture)) for picture in (clean, cloaked))
    return float(((2 * x * y + GMSD_C) / (x**2 + y**2 + GMSD_C)).std())


def l1(clean: Pixels, cloaked: Pixels) -> float:
    """Mean absolute change, in grey levels of 255. Lower is less visible."""
    return float(np.abs(clean.astype(np.int16) - cloaked.astype(np.int16)).mean())


def ciede2000(clean: Pixels, cloaked: Pixels) -> float:
    """Mean CIEDE2000 colour difference of the pixels, by scikit-image. Lower is less visible.

    The variant: sRGB to CIELAB under D65 for the 2 degree observer, kL = kC = kH = 1. In single precision, which takes
    two thirds of the time and differs by less than 1e-6.
    """
    from skimage.color import deltaE_ciede2000, rgb2lab

    x, y = (rgb2lab(picture.astype(np.float32) / 255) for picture in (clean, cloaked))
    return float(deltaE_ciede2000(x, y).mean(dtype=np.float64))


def worst(values: Sequence[float], lower_is_better: bool) -> float:
    """Mean of the worst tenth of some photos, rounded up to whole photos: few people look at an average."""
    ranked = sorted(values, reverse=lower_is_better)
    return float(np.mean(ranked[: -(-len(ranked) // 10)]))


def _ssim_maps(x: Array, y: Array) -> tuple[Array, Array]:
    """The luminance term of SSIM, and the product of its contrast and structure terms, of (h, w, 3) without borders."""
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    luminance = (2 * mean_x * mean_y + c1) / (mean_x**2 + mean_y**2 + c1)
    structure = (2 * covariance + c2) / (var_x + var_y + c2)
    return luminance[5:-5, 5:-5], structure[5:-5, 5:-5]


def _blur(picture: Array) -> Array:
    """Gaussian of sigma 1.5 cut at radius 5, within each channel of (h, w, 3)."""
    from scipy.ndimage import gaussian_filter

    return np.asarray(gaussian_filter(picture, sigma=(1.5, 1.5, 0), truncate=3.5))


def _halved(picture: Array) -> Array:
    """2x2 means of (h, w, 3); an odd last row or column is left out."""
    height, width = picture.shape[0] // 2, picture.shape[1] // 2
    return np.asarray(picture[: 2 * height, : 2 * width].reshape(height, 2, width, 2, 3).mean(axis=(1, 3)))


def _luma(picture: Pixels) -> Array:
    """(h, w) in [0, 255]."""
    return np.asarray(picture @ np.array([0.299, 0.587, 0.114]))


def _gradient(luma: Array) -> Array:
    """(h // 2, w // 2) Prewitt gradient magnitude of 2x2 means, taken at every second pixel."""
    from scipy.ndimage import correlate, uniform_filter

    small = uniform_filter(luma, 2, mode="constant", origin=-1)[::2, ::2]
    across = correlate(small, PREWITT, mode="constant")
    return np.asarray(np.hypot(across, correlate(small, PREWITT.T, mode="constant")))


L1 = Metric("visibility", "lower", LEVELS, "mean absolute change", unit="grey levels", measure=l1)
MS_SSIM = Metric(
    "visibility",
    "higher",
    SHARE,
    "multi-scale SSIM (Wang 2003), five scales with the published weights, mean of the RGB channels",
    pitfalls="needs photos of 176 px and more",
    measure=ms_ssim,
)
GMSD = Metric(
    "visibility",
    "lower",
    (0.0, math.inf),
    "gradient magnitude similarity deviation (Xue 2014), on luma halved in size",
    measure=gmsd,
)
CIEDE2000 = Metric(
    "visibility",
    "lower",
    (0.0, math.inf),
    "mean colour difference of pixels, CIEDE2000 between CIELAB values of sRGB under D65, by scikit-image",
    unit="dE00",
    pitfalls="defined for large patches: overrates fine noise",
    measure=ciede2000,
)
