"""Identity loss of an adapter's training: does a denoising step show the person, to a recogniser?

Guo et al., "PuLID" (2024) compare finished pictures. Here it is the step's own estimate of the clean latents, which
costs one decoding instead of a whole sampling.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.models.alignment import align
from bench.zoo.train.networks import load
from bench.zoo.train.precision import autocast
from bench.zoo.train.views import Views

TIMESTEPS = (100, 600)
"""Before, nothing is left to decide; after, the estimate is a blur."""
PICTURES = 12
"""Of a batch, at most: what is decoded and looked at."""


class Likeness:
    """Weighted 1 - cosine between a recogniser's embeddings of the estimate and of the view itself.

    Every step asks another of the recognisers: what deceives one of them without being a face, the others see.

    Args:
        views: what is denoised.
        weights: folder of each trained recogniser, by the name of its network.
        scale: weight of this loss beside the denoising loss.
    """

    def __init__(self, views: Views, weights: Mapping[str, Path], scale: float) -> None:
        self._views, self._scale = views, scale
        self._networks = [
            load(name, folder / "network.safetensors").eval().requires_grad_(False) for name, folder in weights.items()
        ]
        views.vae.requires_grad_(False)

    def __call__(self, latents: Tensor, rows: Tensor, timesteps: Tensor, random: torch.Generator) -> Tensor:
        """The loss of estimated latents (n, 4, 16, 16) of views (n,) with known key points, at timesteps (n,)."""
        pick = ((timesteps >= TIMESTEPS[0]) & (timesteps < TIMESTEPS[1])).nonzero()[:PICTURES, 0]
        if not len(pick):
            return latents.new_zeros(())
        rows, vae = rows[pick], self._views.vae
        with autocast():
            shown = vae.decode(latents[pick] / vae.config.scaling_factor).sample.float()
        network = self._networks[int(torch.randint(len(self._networks), (1,), generator=random))]
        mine, wanted = (self._embed(network, faces, rows) for faces in (shown, self._views.pixels(rows) * 2 - 1))
        return self._scale * (1 - F.cosine_similarity(mine, wanted)).mean()

    def _embed(self, network: nn.Module, pictures: Tensor, rows: Tensor) -> Tensor:
        """(n, 512) of pictures in [-1, 1]."""
        faces = align(pictures, self._views.points(rows) * pictures.shape[-1])
        with autocast():
            embeddings: Tensor = network(faces).float()
        return embeddings
