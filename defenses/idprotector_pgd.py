"""IDProtector's objective, optimised per image (Song et al., "IDProtector: an adversarial noise encoder to protect
against ID-preserving image generation", CVPR 2025).

Idea: turn away every encoder that zero-shot attacks read a person with, recognisers and CLIP alike, by plain PGD on
the photo. The paper trains a network that does this in one pass, and reports this per-image version as the stronger
bound.
Attacks: zero-shot adapters. Budget of the paper's network: about 9. Cost per photo: no UNet pass; steps passes of
each encoder.

Different from the paper: its per-image settings are not known, so `steps`, `step` and `momentum` are ours; the noise
of the alignment is as published (0.003).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from bench.core.ranges import Count, Share, Sigma, StepLevels
from defenses import Context, Defense
from defenses.encoders import (
    FACELET,
    OFFICIAL,
    Faces,
    encoder_folder,
    face_similarity,
    fingerprints,
    packs,
    photo_similarity,
)
from defenses.pgd import nudged, pgd


@dataclass(frozen=True)
class IdProtectorPgd(Defense):
    """IDProtector (PGD): turn recognisers and image encoders away from the person.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        recognisers: packs to turn away; the first also finds the faces.
        image_encoders: folders of CLIP image encoders to turn away; "zoo" is the embedded IP-Adapter's. May be empty.
        steps: steps of the cloak.
        step: size of a step in grey levels.
        momentum: share of the former direction that is kept.
        sigma: noise of the alignment, of its entries with the face as [-1, 1].
    """

    paper: ClassVar[str] = "CVPR 2025, arXiv 2412.11638"
    needs_surrogate: ClassVar[bool] = False

    preset: str = "auto"
    recognisers: tuple[str, ...] | None = None
    image_encoders: tuple[str, ...] | None = None
    steps: Count = 100
    step: StepLevels = 0.5
    momentum: Share = 0.9
    sigma: Sigma = 0.003

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {"recognisers": OFFICIAL, "image_encoders": ()},
        "facelet": FACELET,
    }

    def files(self) -> dict[str, str]:
        return fingerprints(self.recognisers or (), self.image_encoders or ())

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        sources = packs(self.recognisers)
        faces = Faces.found(photos, sources[0])
        similarities = [face_similarity(photos, faces, sources, self.sigma, context.generator)]
        if self.image_encoders:
            similarities.append(photo_similarity(photos, [encoder_folder(source) for source in self.image_encoders]))

        def distance(candidates: Tensor) -> Tensor:
            return -sum((similarity(candidates).sum() for similarity in similarities), candidates.new_zeros(()))

        start = nudged(photos, context.budget, context.generator)
        return pgd(
            start,
            photos,
            distance,
            context.budget,
            self.step,
            self.steps,
            momentum=self.momentum,
            progress=context.progress,
        )
