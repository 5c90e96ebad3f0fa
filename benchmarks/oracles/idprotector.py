"""IDProtector (huia711/IDProtector, a fork of the authors' preview): what its image encoders see.

The per-image version is not in it, so steps are not compared, nor is there another variant. Recognisers see aligned
faces here as there; `tests/defenses/test_encoders.py` compares those with onnxruntime.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import CLIPVisionModelWithProjection
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from bench.models.adapters.locate import locate_adapter
from benchmarks.oracles import Row, attentive, number, slopes, vectors
from defenses.encoders import photo_similarity
from defenses.idprotector_pgd import photomaker_similarity
from tests.support import tiny

NAME, SIDE = "idprotector_pgd", 80


def compare(root: Path) -> Iterator[Row]:
    """Cosines of both image encoders on larger photos than they want, and their gradient."""
    base = attentive(root, 1)
    tower = tiny.ip_adapter(root / "adapter", base.unet) / "image_encoder"
    photomaker = locate_adapter("photomaker", str(tiny.photomaker(root / "photomaker", base.unet)), "tiny")
    draw = torch.Generator().manual_seed(3)
    clean = 0.4 + 0.4 * torch.rand(2, 3, SIDE, SIDE, generator=draw)
    x = (clean + 0.04 * torch.randn(clean.shape, generator=draw)).clamp(0.2, 0.9)  # a cubic filter overshoots
    clip = CLIPVisionModelWithProjection.from_pretrained(tower).eval()
    other = CLIPVisionModelWithProjection.from_pretrained(tower).vision_model.eval()
    weights = {
        name.removeprefix("vision_model."): value
        for name, value in photomaker.tensors()["id_encoder"].items()
        if name.startswith("vision_model.")
    }
    other.load_state_dict(weights)

    def released(x: Tensor) -> list[Tensor]:
        read: list[Any] = [lambda x: clip(_prepared(x)).image_embeds, lambda x: other(_prepared(x)).pooler_output]
        return [F.cosine_similarity(see(x), see(clean)).sum() for see in read]

    def ours(x: Tensor) -> list[Tensor]:
        return [photo_similarity(clean, [tower])(x).sum(), photomaker_similarity(clean, photomaker)(x).sum()]

    for what, theirs, mine in zip(("IP-Adapter", "PhotoMaker"), released(x), ours(x), strict=True):
        yield number(NAME, f"{what}'s image encoder, 1 - cosine", len(x) - theirs, len(x) - mine)
    yield vectors(NAME, "gradient", torch.stack(slopes(released, x)).sum(0), torch.stack(slopes(ours, x)).sum(0))


def _prepared(x: Tensor) -> Tensor:
    """Resized by an antialiased cubic filter, normalised for CLIP."""
    small = F.interpolate(x, size=(tiny.SIDE, tiny.SIDE), mode="bicubic", antialias=True)
    mean, std = (torch.tensor(values).view(3, 1, 1) for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    return (small - mean) / std
