"""Identity loss of an adapter's training: does what it paints show the person, to a recogniser?

Two kinds of estimates of clean latents are looked at. That of a denoising step of a noised photo costs one decoding;
its composition is the photo's own. That of a step in the middle of sampling from noise (`sampling.py`), as in Guo et
al., "PuLID" (2024), shows what the adapter does where nothing but its tokens says who it is.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import torch.nn.functional as F
from safetensors.torch import load_file
from torch import Tensor, nn

from bench.models.faces.alignment import align
from bench.models.weights.files import ZOO
from bench.zoo.train.networks import load
from bench.zoo.train.precision import autocast, device
from bench.zoo.train.scrfd import Detector, normalise, surest
from bench.zoo.train.views import Views

TIMESTEPS = (100, 600)
"""Before, nothing is left to decide; after, the estimate is a blur."""
PICTURES = 12
"""Of a batch, at most: what is decoded and looked at; on a GPU, some hundreds take hardly longer."""
DETECTOR = ZOO / "parts" / "detector"
"""Folder of what finds the faces of sampled pictures, if nothing else is said."""


class Likeness:
    """Weighted 1 - cosine between a recogniser's embeddings of the estimate and of the view itself.

    Every step asks another of the recognisers: what deceives one of them without being a face, the others see.

    Args:
        views: what is denoised.
        weights: folder of each trained recogniser, by the name of its network.
        scale: weight of this loss beside the denoising loss.
        pictures: of a batch, at most, that are decoded and looked at.
        detector: folder of the trained detector's weights.
    """

    def __init__(
        self,
        views: Views,
        weights: Mapping[str, Path],
        scale: float,
        pictures: int = PICTURES,
        detector: Path = DETECTOR,
    ) -> None:
        self._views, self._scale, self.pictures = views, scale, pictures
        self._networks = [
            load(name, folder / "network.safetensors").eval().requires_grad_(False).to(device())
            for name, folder in weights.items()
        ]
        self._detector = Detector().eval().requires_grad_(False).to(device())
        self._detector.load_state_dict(load_file(detector / "network.safetensors"))
        views.vae.requires_grad_(False)

    def of_steps(self, latents: Tensor, rows: Tensor, timesteps: Tensor, random: torch.Generator) -> Tensor:
        """The loss of estimates (n, 4, 16, 16) of noised views (n,) with known key points, at timesteps (n,)."""
        pick = ((timesteps >= TIMESTEPS[0]) & (timesteps < TIMESTEPS[1])).nonzero()[: self.pictures, 0].cpu()
        if not len(pick):
            return latents.new_zeros(())
        return self._loss(self._shown(latents[pick]), rows[pick], self._views.points(rows[pick]), random)

    def of_samples(self, latents: Tensor, rows: Tensor, random: torch.Generator, placed: float = 0.0) -> Tensor:
        """The loss of estimates (n, 4, 16, 16) while sampling, of pictures of the people of views (n,).

        Where no face is found, and in a share of `placed` of the pictures, the view's key points say where.
        """
        shown = self._shown(latents)
        found, sure = self._faces(shown.detach().clamp(-1, 1))
        free = torch.rand(len(rows), generator=random).to(found) >= placed
        points = torch.where((sure & free)[:, None, None], found, self._views.points(rows).to(found))
        return self._loss(shown, rows, points, random)

    def _faces(self, pictures: Tensor) -> tuple[Tensor, Tensor]:
        """Key points (n, 5, 2), as fractions, of the surest face of pictures in [-1, 1], and whether it is one (n,)."""
        side = pictures.shape[-1]
        scores, _, points = surest(self._detector(normalise(pictures / 2 + 0.5)), side)
        return points / side, scores > 0

    def _shown(self, latents: Tensor) -> Tensor:
        """(n, 3, side, side) in [-1, 1]."""
        vae = self._views.vae
        with autocast():
            decoded: Tensor = vae.decode(latents / vae.config.scaling_factor).sample.float()
        return decoded

    def _loss(self, shown: Tensor, rows: Tensor, points: Tensor, random: torch.Generator) -> Tensor:
        network = self._networks[int(torch.randint(len(self._networks), (1,), generator=random))]
        mine = self._embed(network, shown, points)
        wanted = self._embed(network, self._views.pixels(rows) * 2 - 1, self._views.points(rows))
        return self._scale * (1 - F.cosine_similarity(mine, wanted)).mean()

    def _embed(self, network: nn.Module, pictures: Tensor, points: Tensor) -> Tensor:
        """(n, 512) of pictures in [-1, 1] with key points as fractions."""
        faces = align(pictures, points.to(pictures) * pictures.shape[-1])
        with autocast():
            embeddings: Tensor = network(faces).float()
        return embeddings
