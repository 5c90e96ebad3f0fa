"""IP-Adapter (Ye et al. 2023): extra cross-attention to the photos, read by CLIP or by a face recogniser (FaceID)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor

from attacks import Artifact, FitContext
from attacks.zero_shot import RECOGNISER, ZeroShot, find_faces, guided, recogniser_pack
from bench.models.adapters import Adapter
from bench.models.clip import load_image_encoder, see


@dataclass
class IpAdapter(ZeroShot):
    """IP-Adapter: the photos are an image prompt, nothing is trained.

    The tokens of several photos stand side by side, as in the stock pipeline. The sampler is that of all attacks; the
    authors recommend DDIM or Euler for faces.

    Attributes:
        variant: "base" shows the whole photos to CLIP, "faceid" their largest faces to a recogniser (at unit length).
        scale: weight of the image prompt; 0 leaves it out.
        lora_scale: weight of the LoRA that FaceID weights bring along.
        recogniser: pack for "faceid": one that comes with the package, or a folder (official weights: buffalo_l).
        weights: see `ZeroShot`.
        references: see `ZeroShot`.
    """

    variant: Literal["base", "faceid"] = "base"
    scale: float = 0.8
    lora_scale: float = 1.0
    recogniser: str | None = None

    @property
    def adapter_name(self) -> str:
        return "ip-adapter" if self.variant == "base" else "ip-adapter-faceid"

    @property
    def shipped(self) -> dict[str, Any]:
        return super().shipped | ({"recogniser": RECOGNISER} if self.variant == "faceid" else {})

    def files(self, base_name: str) -> dict[str, str]:
        found = super().files(base_name)
        if self.variant == "faceid":
            found["recogniser"] = recogniser_pack(self.recogniser).fingerprint
        return found

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        """Embed the photos: {"embeddings": (images, dim)}."""
        if self.variant == "base":
            encoder = _image_encoder(self.adapter, str(photos.device))
            return {"embeddings": see(encoder, photos[: self.references])}
        faces = find_faces(recogniser_pack(self.recogniser), photos, self.references)
        normed = torch.stack([torch.from_numpy(face.normed) for face in faces])
        return {"embeddings": normed.float().to(photos.device)}

    def attach(self, adapter: Adapter) -> None:
        self.attach_ip_adapter(adapter, self.scale)
        if self.variant == "faceid" and "faceid_0" in getattr(self.base.unet, "peft_config", {}):
            self._pipeline.set_adapters(["faceid_0"], adapter_weights=[self.lora_scale])

    def extras(self, artifact: Artifact, templates: Sequence[str], steps: int, guidance: float) -> dict[str, Any]:
        return {"ip_adapter_image_embeds": [guided(artifact["embeddings"], guidance)]}


@lru_cache(maxsize=1)
def _image_encoder(adapter: Adapter, device: str) -> Any:
    """The vision tower, kept for the next person; changed files have another fingerprint and are another entry."""
    return load_image_encoder(adapter.folder / "image_encoder", device)
