"""FaceShield (Jeong et al., "FaceShield: defending facial image against deepfake threats", ICCV 2025).

Idea: face swappers read the person by CLIP, through the image projection of an IP-Adapter and the keys and values of
its cross-attention, and by recognisers: move all of these at once, with a perturbation that is blurred, so that JPEG
leaves it alone.
Attacks: zero-shot adapters and face swapping. Published budget: 12. Cost per photo: no UNet pass; steps passes of
each encoder.

Known from the paper's abstract and the released code's README: the terms, the budget, the number and size of the
steps and the norms. Ours: the weights of the terms (one each, of distances relative to the clean values) and the
width of the blur. Left out: the term against face detectors (MTCNN there), which none of the attacks here would
notice.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import torch
from torch import Tensor

from bench.core.ranges import Count, Range, StepLevels
from bench.models.diffusion.base import DiffusionModel
from defenses import Context
from defenses.adapter import AdapterCloak, adapted
from defenses.encoders import Faces, face_similarity, image_encoder, look, packs
from defenses.pgd import nudged, pgd, project
from defenses.transforms import blur


@dataclass(frozen=True)
class FaceShield(AdapterCloak):
    """FaceShield: move an IP-Adapter's projection, keys and values, and recognisers, with a blurred perturbation.

    Attributes:
        steps: steps of the cloak (published: 30).
        step: size of a step in grey levels (published: 1).
        blur: standard deviation of the perturbation's blur in pixels; 0 leaves it out.
        preset, recognisers and others: see `defenses.adapter.AdapterCloak`.
    """

    paper: ClassVar[str] = "ICCV 2025, arXiv 2412.09921"

    steps: Count = 30
    step: StepLevels = 1.0
    blur: Annotated[float, Range(ge=0, le=50, unit="pixels")] = 0.7

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base, sources, adapter = context.surrogates[0], packs(self.recognisers), self.located()
        faces = Faces.found(photos, sources[0])
        similarity = face_similarity(photos, faces, sources, self.sigma, context.generator)
        tower = image_encoder(adapter.image_encoder, str(photos.device))
        with adapted(base, adapter):
            with torch.no_grad():
                wanted = self._read(base, look(tower, photos))

            def distance(candidates: Tensor) -> Tensor:
                cloaked = self._blurred(candidates, photos)
                mine = self._read(base, look(tower, cloaked))
                moved = [(a - b).abs().mean() / b.abs().mean() for a, b in zip(mine, wanted, strict=True)]
                return torch.stack(moved).mean() - similarity(cloaked).mean()

            start = nudged(photos, context.budget, context.generator)
            candidates = pgd(start, photos, distance, context.budget, self.step, self.steps, progress=context.progress)
        return project(self._blurred(candidates, photos), photos, context.budget)

    def _blurred(self, candidates: Tensor, photos: Tensor) -> Tensor:
        if not self.blur:
            return candidates
        return (photos + blur(candidates - photos, self.blur, radius=2)).clamp(0, 1)

    def _read(self, base: DiffusionModel, embeddings: Tensor) -> list[Tensor]:
        """What the adapter makes of (n, dim) embeddings: its image tokens, and their keys and values in every layer."""
        (tokens,) = base.unet.encoder_hid_proj([embeddings[:, None]])
        tokens = tokens.squeeze(1)
        read = [tokens]
        for processor in base.unet.attn_processors.values():
            if hasattr(processor, "to_k_ip"):
                read += [processor.to_k_ip[0](tokens), processor.to_v_ip[0](tokens)]
        return read
