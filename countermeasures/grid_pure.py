"""GrIDPure: many small purifications, in overlapping tiles.

Zhao et al., "Can protective perturbation safeguard personal data from being exploited by Stable Diffusion?", 2024.
Theirs purifies pixels with an unconditional ImageNet model in tiles of 256 px. Ours takes the attacker's own base as
prior, with an empty caption, and works on its latents, in tiles of its own size: encoding and decoding in every round
would blur more than it cleans. A photo of the base's size is one tile.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from bench.core.images import to_pixels, to_tensor
from bench.core.ranges import Count, SamplerSteps, Share
from bench.core.types import Pixels
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import randn
from countermeasures import Purifier


@dataclass(frozen=True)
class GridPure(Purifier):
    """Twenty rounds of ten diffusion steps forth and back, each blended with what was before.

    Attributes:
        rounds: purifications.
        steps: of 1,000 of the noise schedule, forth and back in each.
        blend: weight of the latents before the round.
    """

    rounds: Count = 20
    steps: SamplerSteps = 10
    blend: Share = 0.1

    @property
    def unet_only(self) -> str:
        return "it follows the noise schedule of DDPM"

    def purify(self, photos: list[Pixels], generator: torch.Generator, base: DiffusionModel) -> list[Pixels]:
        return [cleaned for photo in photos for cleaned in self._purify(photo, generator, base)]

    @torch.no_grad()
    def _purify(self, photo: Pixels, generator: torch.Generator, base: DiffusionModel) -> list[Pixels]:
        latents = base.encode(to_tensor([photo]).to(base.device))
        for _ in range(self.rounds):
            total, count = torch.zeros_like(latents), torch.zeros_like(latents)
            for place in tiles(latents.shape[-2], latents.shape[-1], base.latent_shape[-1]):
                total[place] += self._there_and_back(latents[place], generator, base)
                count[place] += 1
            latents = (1 - self.blend) * total / count + self.blend * latents
        return to_pixels(base.decode(latents))

    def _there_and_back(self, latents: Tensor, generator: torch.Generator, base: DiffusionModel) -> Tensor:
        """Noise to timestep `steps` and denoise one timestep at a time, as DDPM does (Ho et al. 2020, algorithm 2)."""
        empty = base.unconditional()
        start = torch.tensor([self.steps - 1], device=base.device)
        noisy = base.add_noise(latents, randn(latents.shape, generator, base.device), start)
        for t in range(self.steps - 1, -1, -1):
            now = torch.tensor(t, device=base.device)
            predicted = base.predict(noisy, now.expand(len(noisy)), empty)
            noisy = base.scheduler.step(predicted, now, noisy, generator=generator).prev_sample
        return noisy


def tiles(height: int, width: int, side: int) -> Iterator[tuple[slice, ...]]:
    """Places of overlapping squares, half a side apart, that cover a grid; the last ones end at its border."""
    for top in _starts(height, side):
        for left in _starts(width, side):
            yield (slice(None), slice(None), slice(top, top + side), slice(left, left + side))


def _starts(length: int, side: int) -> list[int]:
    last = max(0, length - side)
    return sorted({*range(0, last + 1, max(1, side // 2)), last})
