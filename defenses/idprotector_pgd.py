"""IDProtector's objective, optimised per image (Song et al., "IDProtector: an adversarial noise encoder to protect
against ID-preserving image generation", CVPR 2025).

Idea: turn away every encoder that zero-shot attacks read a person with, recognisers and CLIP alike, by plain PGD on
the photo. The paper trains a network that does this in one pass, and reports this per-image version as the stronger
bound.
Attacks: zero-shot adapters. Budget of the paper's network: about 9. Cost per photo: no UNet pass; steps passes of
each encoder.

The released code has the network, its weights and the encoders as it reads them (InstantID's recogniser, the image
encoder of IP-Adapter, that of PhotoMaker), but not the per-image version: its settings are not known, so `steps`,
`step` and `momentum` are ours; the noise of the alignment is as published (0.003). FaceID's recogniser is turned away
too; the tokens that IP-Adapter Plus makes of what the same image encoder sees are not.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.ranges import Count, Share, Sigma, StepLevels
from bench.models.adapters.locate import Adapter, locate_adapter
from bench.models.adapters.photomaker import load_encoder
from bench.models.weights.published import together
from defenses import Context
from defenses.adaptive import Adaptive
from defenses.encoders import (
    FACELET,
    OFFICIAL,
    Faces,
    Similarity,
    clip_input,
    encoder_folder,
    face_similarity,
    fingerprints,
    packs,
    photo_similarity,
)
from defenses.pgd import nudged, pgd


@dataclass(frozen=True)
class IdProtectorPgd(Adaptive):
    """IDProtector (PGD): turn recognisers and image encoders away from the person.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        recognisers: packs to turn away; the first also finds the faces.
        image_encoders: CLIP image encoders to turn away: folders, the base whose published IP-Adapter's it is ("sd15",
            "sdxl"), or "zoo" for the embedded IP-Adapter's. May be empty.
        photomaker: PhotoMaker whose image encoder to turn away: folder or file in the official layout, the base of a
            published one ("sdxl"), "zoo" for the embedded one, or "none".
        steps: steps of the cloak.
        step: size of a step in grey levels.
        momentum: share of the former direction that is kept.
        sigma: noise of the alignment, of its entries with the face as [-1, 1].
    """

    paper: ClassVar[str] = "CVPR 2025, arXiv 2412.11638"
    loop: ClassVar[str] = "steps"
    needs_surrogate: ClassVar[bool] = False

    preset: str = "auto"
    recognisers: tuple[str, ...] | None = None
    image_encoders: tuple[str, ...] | None = None
    photomaker: str | None = None
    steps: Count = 100
    step: StepLevels = 0.5
    momentum: Share = 0.9
    sigma: Sigma = 0.003

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {"recognisers": OFFICIAL, "image_encoders": ("sd15",), "photomaker": "sdxl"},
        "facelet": {**FACELET, "photomaker": "zoo"},
    }

    def files(self) -> dict[str, str]:
        read = [
            lambda: fingerprints(self.recognisers or ()),
            lambda: fingerprints(None, self.image_encoders or ()),
            lambda: {"photomaker": adapter.fingerprint} if (adapter := self._photomaker()) else {},
        ]
        return super().files() | {setting: value for found in together(read) for setting, value in found.items()}

    def _photomaker(self) -> Adapter | None:
        if self.photomaker in (None, "none"):
            return None
        return locate_adapter("photomaker", self.photomaker, "facelet-1", setting="defense.photomaker")

    def evaluations(self, turns: int) -> float:
        return turns  # of each encoder

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        sources = packs(self.recognisers)
        faces = Faces.found(photos, sources[0])
        similarities = [face_similarity(photos, faces, sources, self.sigma, context.generator)]
        if self.image_encoders:
            similarities.append(photo_similarity(photos, [encoder_folder(source) for source in self.image_encoders]))
        if adapter := self._photomaker():
            similarities.append(photomaker_similarity(photos, adapter))

        def distance(candidates: Tensor) -> Tensor:
            return -sum((similarity(candidates).sum() for similarity in similarities), candidates.new_zeros(()))

        start = nudged(photos, context.budget, context.generator)
        return pgd(
            start,
            photos,
            self.treated(distance, context.generator),
            context.budget,
            self.step,
            self.steps,
            momentum=self.momentum,
            progress=context.progress,
        )


def photomaker_similarity(clean: Tensor, adapter: Adapter) -> Similarity:
    """Cosines of what PhotoMaker's image encoder sees in whole photos, before it is projected."""
    width = len(adapter.tensors()["id_encoder"]["fuse_module.layer_norm.weight"])
    tower = load_encoder(adapter, width, str(clean.device))

    def see(photos: Tensor) -> Tensor:
        seen: Tensor = tower.vision_model(clip_input(tower, photos)).pooler_output
        return seen

    with torch.no_grad():
        wanted = see(clean)
    return lambda photos: F.cosine_similarity(see(photos), wanted)[None]
