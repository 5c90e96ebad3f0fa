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
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.models.adapters import Adapter, locate_adapter
from bench.models.base import Base
from bench.presets import fill
from bench.types import Budget
from defenses import Context, Defense
from defenses.encoders import FACELET, Faces, face_similarity, fingerprints, image_encoder, look, packs
from defenses.idguardian import adapted
from defenses.pgd import ascend, project, random_start
from defenses.transforms import blur


@dataclass(frozen=True)
class FaceShield(Defense):
    """FaceShield: move an IP-Adapter's projection, keys and values, and recognisers, with a blurred perturbation.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        recognisers: packs to turn away; the first also finds the faces.
        adapter: folder of an IP-Adapter in the official layout; "zoo" is the embedded one.
        steps: steps of the cloak (published: 30).
        step: size of a step in grey levels (published: 1).
        blur: standard deviation of the perturbation's blur in pixels; 0 leaves it out.
        sigma: noise of the alignment, of its entries with the face as [-1, 1].
    """

    paper: ClassVar[str] = "ICCV 2025, arXiv 2412.09921"

    preset: str = "auto"
    recognisers: tuple[str, ...] | None = None
    adapter: str | None = None
    steps: int = 30
    step: float = 1.0
    blur: float = 0.7
    sigma: float = 0.003

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {},
        "facelet": {"recognisers": FACELET["recognisers"], "adapter": "zoo"},
    }

    def resolved(self, family: str) -> FaceShield:
        return fill(self, self.presets, "facelet" if family == "facelet" else "published")

    def files(self) -> dict[str, str]:
        return fingerprints(self.recognisers or ()) | {"adapter": self._located().fingerprint}

    def _located(self) -> Adapter:
        return locate_adapter("ip-adapter", self.adapter, "facelet-1", setting="defense.adapter")

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base, sources, adapter = context.surrogates[0], packs(self.recognisers), self._located()
        faces = Faces.found(photos, sources[0])
        similarity = face_similarity(photos, faces, sources, self.sigma, context.generator)
        tower = image_encoder(adapter.folder / "image_encoder", str(photos.device))
        with adapted(base, adapter):
            with torch.no_grad():
                wanted = self._read(base, look(tower, photos))

            def distance(candidates: Tensor) -> Tensor:
                cloaked = self._blurred(candidates, photos)
                mine = self._read(base, look(tower, cloaked))
                moved = [(a - b).abs().mean() / b.abs().mean() for a, b in zip(mine, wanted, strict=True)]
                return torch.stack(moved).mean() - similarity(cloaked).mean()

            start = random_start(photos, Budget(min(1, context.budget.whole_levels)), context.generator)
            candidates = ascend(
                start, photos, distance, context.budget, self.step, self.steps, progress=context.progress
            )
        return project(self._blurred(candidates, photos), photos, context.budget)

    def _blurred(self, candidates: Tensor, photos: Tensor) -> Tensor:
        if not self.blur:
            return candidates
        return (photos + blur(candidates - photos, self.blur, radius=2)).clamp(0, 1)

    def _read(self, base: Base, embeddings: Tensor) -> list[Tensor]:
        """What the adapter makes of (n, dim) embeddings: its image tokens, and their keys and values in every layer."""
        (tokens,) = base.unet.encoder_hid_proj([embeddings[:, None]])
        tokens = tokens.squeeze(1)
        read = [tokens]
        for processor in base.unet.attn_processors.values():
            if hasattr(processor, "to_k_ip"):
                read += [processor.to_k_ip[0](tokens), processor.to_v_ip[0](tokens)]
        return read
