"""How visible a cloak is, measured on the saved 8-bit photos at their own size."""

from __future__ import annotations

import numpy as np

from bench.core.budget import linf as linf
from bench.core.types import Pixels
from metrics.metric import COSINE, LEVELS, Metric


def psnr(clean: Pixels, cloaked: Pixels) -> float:
    """Peak signal-to-noise ratio over all RGB values in dB; 100 for identical photos. Higher is less visible."""
    error = np.square(clean.astype(np.float64) - cloaked.astype(np.float64)).mean()
    return 100.0 if error == 0 else float(10 * np.log10(255**2 / error))


def ssim(clean: Pixels, cloaked: Pixels) -> float:
    """Structural similarity (Wang et al. 2004), in [-1, 1]. Higher is less visible.

    The variant: Gaussian window 11x11 with sigma 1.5, population covariance, K = (0.01, 0.03), each RGB channel apart
    and averaged, borders of 5 px left out.
    """
    from skimage.metrics import structural_similarity

    similarity = structural_similarity(
        *(clean, cloaked), gaussian_weights=True, sigma=1.5, use_sample_covariance=False, channel_axis=2, data_range=255
    )
    return float(similarity)


LINF = Metric(
    "visibility",
    "lower",
    LEVELS,
    "largest change of any value of any photo",
    unit="grey levels",
    pitfalls="what the budget bounds; cloaks of equal Linf differ in how visible they are",
    head=True,
    measure=linf,
)
PSNR = Metric(
    "visibility",
    "higher",
    (0.0, 100.0),
    "peak signal-to-noise ratio over all RGB values, peak 255; 100 for identical photos; mean over photos",
    unit="dB",
    head=True,
    measure=psnr,
)
SSIM = Metric(
    "visibility",
    "higher",
    COSINE,
    "structural similarity (Wang 2004), Gaussian 11x11 of sigma 1.5, mean of RGB channels; pyiqa's ssimc",
    pitfalls="0.77 where the variant on luma says 0.82",
    head=True,
    measure=ssim,
)
