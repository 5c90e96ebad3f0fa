"""Embeddings of all views, made once and kept: by the CLIP image encoder, or by a recogniser of its aligned faces."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from bench.models.alignment import align
from bench.models.clip import clip_pixels
from bench.zoo.train.photos import SIDE
from bench.zoo.train.views import Views

BATCH = 128


def embed_views(views: Views, encoder: Path, cache: Path) -> Tensor:
    """(n, dim) CLIP embeddings of whole views."""
    from transformers import CLIPVisionModelWithProjection

    tower = CLIPVisionModelWithProjection.from_pretrained(encoder, dtype=torch.float32).eval()

    def embed(index: Tensor) -> Tensor:
        embeddings: Tensor = tower(clip_pixels(views.pixels(index), tower.config.image_size)).image_embeds
        return embeddings

    return _cached(views, embed, cache)


def embed_faces(views: Views, pack: Path, cache: Path) -> Tensor:
    """(n, 512) raw embeddings of the views' aligned faces; zeros where the key points are unknown."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(pack / "rec.onnx"), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name

    def embed(index: Tensor) -> Tensor:
        points = views.points(index)
        known = ~points[:, 0, 0].isnan()
        faces = align(views.pixels(index), points.nan_to_num(nan=0.5) * SIDE - 0.5) * 2 - 1
        found = torch.from_numpy(np.asarray(session.run(None, {name: faces.numpy()})[0]))
        return torch.where(known[:, None], found, 0.0)

    return _cached(views, embed, cache)


def _cached(views: Views, embed: Callable[[Tensor], Tensor], cache: Path) -> Tensor:
    if not cache.exists():
        with torch.no_grad():
            rows = [embed(index) for index in torch.split(torch.arange(len(views.row)), BATCH)]
        cache.parent.mkdir(parents=True, exist_ok=True)
        torch.save(torch.cat(rows).half(), cache)
    embeddings: Tensor = torch.load(cache, weights_only=True)
    return embeddings.float()
