"""How visible a cloak is, measured on the saved 8-bit photos at their own size."""

from __future__ import annotations

import numpy as np
from scipy.ndimage import gaussian_filter

from bench.types import Array, Pixels


def linf(clean: Pixels, cloaked: Pixels) -> int:
    """Largest change of any value, in grey levels of 255."""
    return int(np.abs(clean.astype(np.int16) - cloaked.astype(np.int16)).max())


def psnr(clean: Pixels, cloaked: Pixels) -> float:
    """Peak signal-to-noise ratio over all RGB values in dB; 100 for identical photos. Higher is less visible."""
    error = np.square(clean.astype(np.float64) - cloaked.astype(np.float64)).mean()
    return 100.0 if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(clean: Pixels, cloaked: Pixels) -> float:
    """Structural similarity (Wang et al. 2004), in [-1, 1]. Higher is less visible.

    The variant: Gaussian window 11x11 with sigma 1.5, population covariance, K = (0.01, 0.03), each RGB channel apart
    and averaged, borders of 5 px left out (as scikit-image with `gaussian_weights=True, sigma=1.5,
    use_sample_covariance=False`).
    """
    x, y = clean.astype(np.float64), cloaked.astype(np.float64)
    mean_x, mean_y = _blur(x), _blur(y)
    var_x = _blur(x * x) - mean_x**2
    var_y = _blur(y * y) - mean_y**2
    covariance = _blur(x * y) - mean_x * mean_y
    c1, c2 = (0.01 * 255) ** 2, (0.03 * 255) ** 2
    similarity = ((2 * mean_x * mean_y + c1) * (2 * covariance + c2)) / (
        (mean_x**2 + mean_y**2 + c1) * (var_x + var_y + c2)
    )
    return float(similarity[5:-5, 5:-5].mean())


def _blur(picture: Array) -> Array:
    """Gaussian of sigma 1.5 cut at radius 5, within each channel of (h, w, 3)."""
    return np.asarray(gaussian_filter(picture, sigma=(1.5, 1.5, 0), truncate=3.5))
