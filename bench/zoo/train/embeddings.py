"""Embeddings of all views, made once and kept: by the CLIP image encoder, or by a recogniser of its aligned faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
from torch import Tensor

from bench.models.clip import load_image_encoder, see
from bench.models.recogniser import Recogniser, locate_pack
from bench.zoo.train.views import Views

BATCH = 128


Embed = Callable[[Tensor], Tensor]
"""Views (n,) -> their embeddings (n, dim)."""


def embed_views(views: Views, encoder: Path, cache: Path) -> Tensor:
    """(n, dim) CLIP embeddings of whole views."""

    def ready() -> Embed:
        tower = load_image_encoder(encoder)
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
        torch.save(torch.cat(rows).half(), cache)
    embeddings: Tensor = torch.load(cache, weights_only=True)
    return embeddings.float()
