"""What the defenses against an IP-Adapter share: its files, and a base with it inside."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.ranges import Sigma
from bench.models.adapters.locate import Adapter, load_ip_adapter, locate_adapter
from bench.models.diffusion.base import DiffusionModel
from bench.models.weights.published import together
from defenses import Defense
from defenses.encoders import FACELET, OFFICIAL, fingerprints


@dataclass(frozen=True)
class AdapterCloak(Defense):
    """Base class of the defenses that turn recognisers and an IP-Adapter away.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        recognisers: packs to turn away; the first also finds the faces.
        adapter: folder of an IP-Adapter in the official layout, or the base whose published one it is ("sd15", "sdxl");
            "zoo" is the embedded one.
        sigma: noise of the alignment, of its entries with the face as [-1, 1].
    """

    preset: str = "auto"
    recognisers: tuple[str, ...] | None = None
    adapter: str | None = None
    sigma: Sigma = 0.003

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "published": {"recognisers": OFFICIAL, "adapter": "sd15"},
        "sdxl": {"recognisers": OFFICIAL, "adapter": "sdxl"},
        "facelet": {"recognisers": FACELET["recognisers"], "adapter": "zoo"},
    }

    @property
    def unet_only(self) -> str:
        return "it puts an IP-Adapter into the cross-attention of a U-Net"

    def files(self) -> dict[str, str]:
        found, adapter = together([lambda: fingerprints(self.recognisers or ()), self._adapter_files])
        return found | adapter

    def _adapter_files(self) -> dict[str, str]:
        return {"adapter": self.located().fingerprint}

    def located(self) -> Adapter:
        """The adapter's files.

        Raises:
            BenchError: none is set, or one is missing.
        """
        return locate_adapter("ip-adapter", self.adapter, "facelet-1", setting="defense.adapter")


@contextmanager
def adapted(base: DiffusionModel, adapter: Adapter) -> Iterator[None]:
    """A base with an IP-Adapter in it, until the context ends."""
    pipeline = base.pipeline()
    load_ip_adapter(pipeline, adapter.tensors())
    try:
        yield
    finally:
        pipeline.unload_ip_adapter()


def look_coarsely(tower: Any, photos: Tensor) -> Tensor:
    """(n, dim) embeddings by CLIP of photos (n, 3, h, w), prepared as released defenses do."""
    embeddings: Tensor = tower(coarse_clip_input(tower, photos)).image_embeds
    return embeddings


def coarse_clip_input(tower: Any, photos: Tensor) -> Tensor:
    """Photos (n, 3, h, w) in [0, 1] as released defenses show them to a tower: resized bilinearly, pixel by pixel."""
    from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

    side = tower.config.image_size
    seen = F.interpolate(photos, (side, side), mode="bilinear", align_corners=False)
    mean, std = (torch.tensor(values).to(photos)[:, None, None] for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
    return (seen - mean) / std
