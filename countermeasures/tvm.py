"""Total variation minimisation: the smoothest picture near the photo, with its edges kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from bench.core.ranges import Range
from bench.core.types import Pixels
from countermeasures import Countermeasure
from countermeasures.picture_scale import picture_scale

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TotalVariation(Countermeasure):
    """Total variation denoising (Rudin, Osher and Fatemi 1992), by Chambolle's algorithm.

    Guo et al., "Countering adversarial images using input transformations" (2018), also drop half of the pixels at
    random before; that is left out, as it costs the attacker more likeness than cloak.

    Attributes:
        weight_at_512: of the total variation, for values in [0, 1], on a photo of 512 px: the larger, the smoother. It
            goes with the photo's side, as total variation does beside the squared difference, which goes with the area.
    """

    weight_at_512: Annotated[float, Range(gt=0, le=10, unit="a weight, for values in [0, 1] at 512 px")] = 0.05

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        from skimage.restoration import denoise_tv_chambolle

        weights = [self.weight_at_512 * picture_scale(photo.shape[:2]) for photo in photos]
        smooth = [
            denoise_tv_chambolle(photo / 255, weight=weight, channel_axis=-1)
            for photo, weight in zip(photos, weights, strict=True)
        ]
        return [(photo * 255).round().clip(0, 255).astype(np.uint8) for photo in smooth]
