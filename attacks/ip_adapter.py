"""IP-Adapter (Ye et al. 2023): extra cross-attention to the photos, read by CLIP, by a face recogniser, or by both."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from attacks import Artifact, FitContext
from attacks.zero_shot import RECOGNISER, ZeroShot, find_faces, guided, recogniser_pack
from bench.core.images import to_pixels, to_tensor
from bench.core.ranges import Scale
from bench.models.adapters.clip import load_image_encoder, see, see_nothing, see_patches
from bench.models.adapters.locate import Adapter
from bench.models.faces.alignment import align

CROPPED = ("plus-face", "full-face", "faceid-plus", "faceid-plusv2")
"""Variants that show CLIP aligned faces instead of whole photos."""
FACE_SIDE = 224
"""Side of an aligned face for CLIP, pixels."""


@dataclass
class IpAdapter(ZeroShot):
    """IP-Adapter: the photos are an image prompt, nothing is trained.

    The tokens of several photos stand side by side, as in the stock pipeline. The sampler is that of all attacks; the
    authors recommend DDIM or Euler for faces. On a flow-matching transformer it is one of `attacks.ip_adapter_flow`.

    Attributes:
        variant: "base" shows CLIP's embedding of the whole photos; "plus" what CLIP sees in every patch; "plus-face"
            and "full-face" the same of the largest faces, aligned; "faceid" a recogniser's embedding of the faces (at
            unit length); "faceid-plus" and "faceid-plusv2" that and the patches.
        scale: weight of the image prompt; 0 leaves it out.
        lora_scale: weight of the LoRA that FaceID weights bring along.
        shortcut_scale: "faceid-plusv2": weight of the patches beside the embedding.
        recogniser: pack for all variants with faces: one that comes with the package, or a folder (official weights:
            buffalo_l).
        image_encoder: folder of the vision tower; null: beside the weights.
        weights: see `ZeroShot`.
        references: see `ZeroShot`.
    """

    variant: Literal["base", "plus", "plus-face", "full-face", "faceid", "faceid-plus", "faceid-plusv2"] = "base"
    scale: Scale = 0.8
    lora_scale: Scale = 1.0
    shortcut_scale: Scale = 1.0
    recogniser: str | None = None
    image_encoder: str | None = None

    @property
    def adapter_name(self) -> str:
        return "ip-adapter" if self.variant == "base" else f"ip-adapter-{self.variant}"

    @property
    def shipped(self) -> dict[str, Any]:
        return super().shipped | ({"recogniser": RECOGNISER} if self._faces else {})

    @property
    def recogniser_pack(self) -> str | None:
        return "buffalo_l" if self._faces else None

    def resolved(self, family: str) -> IpAdapter:
        from attacks.ip_adapter_flow import TRANSFORMERS

        made = super().resolved(family)
        if family not in TRANSFORMERS:
            return made
        return TRANSFORMERS[family](**{each.name: getattr(made, each.name) for each in fields(made) if each.init})

    def fit(self, photos: Tensor, context: FitContext) -> Artifact:
        """Embed the photos.

        Returns:
            "embeddings" (images, ...), and, of the variants that see patches, "nothing": what CLIP sees in nothing.
            "faceid-plus" and "faceid-plusv2" have "patches" (images, patches + 1, hidden) besides.
        """
        shown, recognised = photos[: self.references], None
        if self._faces:
            faces = find_faces(recogniser_pack(self.recogniser), photos, self.references)
            recognised, points = (
                torch.tensor(np.stack([getattr(face, what) for face in faces.values()])).float().to(photos.device)
                for what in ("normed", "points")
            )
            shown = align(to_tensor(to_pixels(photos[list(faces)])).to(photos.device), points, FACE_SIDE)
        if self.variant == "faceid":
            assert recognised is not None
            return {"embeddings": recognised}
        encoder = _image_encoder(self.adapter, str(photos.device))
        if self.variant == "base":
            return {"embeddings": see(encoder, shown)}
        patches, nothing = see_patches(encoder, shown), see_nothing(encoder)
        if recognised is None or not self._recognises:
            return {"embeddings": patches, "nothing": nothing}
        return {"embeddings": recognised, "patches": patches, "nothing": nothing}

    def attach(self, adapter: Adapter) -> None:
        self.attach_ip_adapter(adapter, self.scale)
        if "faceid_0" in getattr(self.base.unet, "peft_config", {}):
            self._pipeline.set_adapters(["faceid_0"], adapter_weights=[self.lora_scale])

    def extras(self, artifact: Artifact, templates: Sequence[str], steps: int, guidance: float) -> dict[str, Any]:
        if "patches" not in artifact:
            return {"ip_adapter_image_embeds": [guided(artifact["embeddings"], guidance, artifact.get("nothing"))]}
        # The stock module keeps the patches, and wants them for every picture of the coming call.
        layer = self.base.unet.encoder_hid_proj.image_projection_layers[0]
        layer.clip_embeds = guided(artifact["patches"], guidance, artifact["nothing"]).repeat_interleave(
            len(templates), dim=0
        )
        layer.shortcut = self.variant == "faceid-plusv2"
        layer.shortcut_scale = self.shortcut_scale
        return {"ip_adapter_image_embeds": [guided(artifact["embeddings"], guidance)]}

    @property
    def _recognises(self) -> bool:
        """Whether a recogniser's embedding goes in."""
        return self.variant.startswith("faceid")

    @property
    def _faces(self) -> bool:
        """Whether faces must be found."""
        return self._recognises or self.variant in CROPPED


@lru_cache(maxsize=1)
def _image_encoder(adapter: Adapter, device: str) -> Any:
    """The vision tower, kept for the next person; changed files have another fingerprint and are another entry."""
    return load_image_encoder(adapter.image_encoder, device)
