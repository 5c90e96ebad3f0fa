"""Total variation minimisation: the smoothest picture near the photo, with its edges kept."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated

import numpy as np

from bench.core.ranges import Range
from bench.core.types import Pixels
from countermeasures import Countermeasure

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True)
class TotalVariation(Countermeasure):
    """Total variation denoising (Rudin, Osher and Fatemi 1992), by Chambolle's algorithm.

    Guo et al., "Countering adversarial images using input transformations" (2018), also drop half of the pixels at
    random before; that is left out, as it costs the attacker more likeness than cloak.

    Attributes:
        weight: of the total variation, for values in [0, 1]: the larger, the smoother.
    """

    weight: Annotated[float, Range(gt=0, le=10, unit="a weight, for values in [0, 1]")] = 0.05

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        from skimage.restoration import denoise_tv_chambolle

        smooth = [denoise_tv_chambolle(photo / 255, weight=self.weight, channel_axis=-1) for photo in photos]
        return [(photo * 255).round().clip(0, 255).astype(np.uint8) for photo in smooth]
