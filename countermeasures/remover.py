"""A learned remover: a network that has seen many photos before and after cloaking.

After LightShed (Foerster et al., "LightShed: defeating perturbation-based image copyright protections", USENIX Security
2025): whoever has the software that cloaks has as many pairs as they like, and trains a network that takes the cloak
off. Theirs first tells whether a photo is cloaked, and rebuilds the perturbation of one known cloak; ours is told
nothing, learns from all cloaks at once and from clean photos too, and answers what to add to the photo, which on clean
ones is nothing. `python -m bench.train_remover` trains one, from all cloaks or from all but one.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import torch

from bench.core.errors import BenchError
from bench.core.images import to_pixels, to_tensor
from bench.core.types import Pixels
from bench.models import pixel_unet
from countermeasures.weighted import SHIPPED, Weighted


@dataclass(frozen=True)
class Remover(Weighted):
    """One pass through a network that was trained to take cloaks off.

    Attributes:
        weights: "zoo" for the one that is shipped, or a folder that `bench.train_remover` wrote.
    """

    weights: str = "zoo"

    setting: ClassVar[str] = "countermeasure.remover.weights"
    network: ClassVar[str] = "the remover"
    shipped: ClassVar[Path | None] = SHIPPED / "remover"

    @torch.no_grad()
    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        del generator
        files, device = self.located, self.device
        network = pixel_unet.load(files.path, files.fingerprint, device)
        return [pixels for photo in photos for pixels in to_pixels(removed(network, to_tensor([photo]).to(device)))]


def removed(network: pixel_unet.Network, photos: torch.Tensor) -> torch.Tensor:
    """Photos (n, 3, h, w) in [0, 1] as a remover leaves them.

    Raises:
        BenchError: they are not finite.
    """
    change = pixel_unet.answer(network, photos * 2 - 1, torch.zeros(len(photos), device=photos.device))
    if not bool(change.isfinite().all()):
        raise BenchError("The remover made a picture that is not finite.", "Use other weights.")
    return (photos + change / 2).clamp(0, 1)
