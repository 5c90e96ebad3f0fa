"""How good generated pictures look, whoever is on them. Descriptive: a bad picture of a person still is one.

What needs no weights is here; pyiqa's metrics are in `metrics.iqa`.
"""

from __future__ import annotations

import numpy as np

from bench.core.types import Array, Pixels
from metrics.metric import SHARE, Metric


def blur(picture: Pixels) -> float:
    """Perceptual blur (Crete et al. 2007), in [0, 1]: 0 sharp, 1 as soft as after another blur; by scikit-image.

    The variant: the mean over the RGB channels, and the larger of the two directions. A picture of one colour, of which
    the formula says nothing, counts as 1.
    """
    from skimage.measure import blur_effect

    found = [blur_effect(channel) for channel in np.moveaxis(picture, 2, 0) if np.ptp(channel) > 0]
    return float(np.mean(found)) if found else 1.0


def usable(quality: Array, clean: Array, lower_is_better: bool, share: float = 0.05) -> Array:
    """Which pictures look good enough to be used: no worse than the worst `share` of those of the clean arm.

    Args:
        quality: (n,) scores of the pictures; NaN, where there is none, is not usable.
        clean: (m,) scores of the clean arm's pictures.
        lower_is_better: whether lower scores are better *for the person*, as `metrics.METRICS` declares it: then higher
            ones are better pictures.
        share: of the clean arm's pictures that may be worse.

    Returns:
        (n,) 1.0 for usable and 0.0 for not.
    """
    sign = 1.0 if lower_is_better else -1.0
    bar = np.nanquantile(sign * clean, share)
    return np.asarray(sign * quality >= bar, dtype=np.float64)


BLUR = Metric(
    "quality",
    "higher",
    SHARE,
    "perceptual blur (Crete 2007), 0 for sharp, by scikit-image; mean over all pictures",
    pitfalls="sees no artefacts: noise makes a picture sharper",
    measure=blur,
)
CLIP_SCORE = Metric(
    "quality",
    "lower",
    (0.0, 100.0),
    "100 times the cosine of picture and prompt to CLIP ViT-L/14, at least 0 (Hessel 2021 without the factor of "
    '2.5), with "a person" for the word that stands for somebody',
    needs="the CLIP model of metric.clip, by default openai/clip-vit-large-patch14",
    licence="CLIP: MIT",
    pitfalls="says whether the model still follows prompts, not whether the person is in the picture",
)
