"""Embeddings of all views, made once and kept: by the CLIP image encoder, or by a recogniser of its aligned faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from bench.models.adapters.clip import load_image_encoder, see
from bench.models.faces.insightface import Recogniser, locate_pack
from bench.zoo.train.precision import device
from bench.zoo.train.views import Views

BATCH = 128


Embed = Callable[[Tensor], Tensor]
"""Views (n,) -> their embeddings (n, dim)."""


def tower_pixels(photos: Tensor, side: int) -> Tensor:
    """What a CLIP tower of that input side sees of square photos (n, 3, h, w) in [0, 1].

    As `bench.models.adapters.clip.clip_pixels`, without its loop over photos and its rounding, which is 0.3 grey levels
    on average.
    """
    mean, spread = photos.new_tensor(OPENAI_CLIP_MEAN), photos.new_tensor(OPENAI_CLIP_STD)
    shrunk = F.interpolate(photos, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)
    return (shrunk - mean[:, None, None]) / spread[:, None, None]


def embed_views(views: Views, encoder: Path, cache: Path) -> Tensor:
    """(n, dim) CLIP embeddings of whole views."""

    def ready() -> Embed:
        tower = load_image_encoder(encoder, str(device()))
        return lambda index: see(tower, views.pixels(index))

    return _cached(views, ready, cache)


def embed_faces(views: Views, pack: Path, cache: Path) -> Tensor:
    """(n, 512) raw embeddings of the views' aligned faces; zeros where the key points are unknown."""

    def ready() -> Embed:
        recogniser = Recogniser(locate_pack(str(pack)))

        def embed(index: Tensor) -> Tensor:
            points = views.points(index)
            known = ~points[:, 0, 0].isnan()
            found = torch.zeros(len(index), recogniser.width)
            found[known] = recogniser.embed(views.pixels(index[known]), points[known] * views.side)
            return found

        return embed

    return _cached(views, ready, cache)


def _cached(views: Views, ready: Callable[[], Embed], cache: Path) -> Tensor:
    if not cache.exists():
        embed = ready()
        with torch.no_grad():
            rows = [embed(index) for index in torch.split(torch.arange(len(views.row)), BATCH)]
        cache.parent.mkdir(parents=True, exist_ok=True)
        torch.save(torch.cat(rows).half().cpu(), cache)
    embeddings: Tensor = torch.load(cache, weights_only=True, map_location=device())
    return embeddings.float()
