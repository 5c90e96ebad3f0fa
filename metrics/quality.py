"""How good generated pictures look, whoever is on them. Descriptive: a bad picture of a person still is one.

What needs no weights is here; pyiqa's metrics are in `metrics.iqa`.
"""

from __future__ import annotations

import numpy as np
from skimage.measure import blur_effect

from bench.core.types import Array, Pixels


def blur(picture: Pixels) -> float:
    """Perceptual blur (Crete et al. 2007), in [0, 1]: 0 sharp, 1 as soft as after another blur; by scikit-image.

    The variant: the mean over the RGB channels, and the larger of the two directions. A picture of one colour, of which
    the formula says nothing, counts as 1.
    """
    found = [blur_effect(channel) for channel in np.moveaxis(picture, 2, 0) if np.ptp(channel) > 0]
    return float(np.mean(found)) if found else 1.0


def usable(quality: Array, clean: Array, lower_is_better: bool, share: float = 0.05) -> Array:
    """Which pictures look good enough to be used: no worse than the worst `share` of those of the clean arm.

    Args:
        quality: (n,) scores of the pictures; NaN, where there is none, is not usable.
        clean: (m,) scores of the clean arm's pictures.
        lower_is_better: whether lower scores are better *for the person*, as the catalogue declares it: then higher
            ones are better pictures.
        share: of the clean arm's pictures that may be worse.

    Returns:
        (n,) 1.0 for usable and 0.0 for not.
    """
    sign = 1.0 if lower_is_better else -1.0
    bar = np.nanquantile(sign * clean, share)
    return np.asarray(sign * quality >= bar, dtype=np.float64)
