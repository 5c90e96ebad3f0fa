"""IDGuardian (CVPR 2026): turn identity encoders away and deflect what an adapter makes of them.

Idea: the gradient of the identity similarity says where encoders look; the difference between what an IP-Adapter
predicts for the cloaked and for the clean person says where generation follows them. Step against the one and along
the other, both at unit length.
Attacks: zero-shot adapters, and fine-tuning to a degree. Published budget: 8. Cost per photo: 2 x steps UNet passes,
forward only: 400 as published.

Known from secondary sources only: the update, the budget, the step and the number of steps. Ours: the deflection is
taken at the noised latent of the cloaked photo, averaged over the latent's channels and enlarged bilinearly;
recognisers stand for FaceNet, and the adapter's own image encoder for CLIP.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.models.adapters import Adapter, load_ip_adapter, locate_adapter
from bench.models.base import Base, randn
from bench.presets import fill
from bench.types import Budget
from defenses import Context, Defense
from defenses.encoders import FACELET, Faces, face_similarity, fingerprints, image_encoder, look, packs
from defenses.objectives import caption
from defenses.pgd import ascend, random_start


@dataclass(frozen=True)
class IdGuardian(Defense):
    """IDGuardian: turn identity encoders away, and deflect the predictions of an IP-Adapter.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        recognisers: packs to turn away; the first also finds the faces.
        adapter: folder of an IP-Adapter in the official layout; "zoo" is the embedded one.
        steps: steps of the cloak (published: at most 200).
        step: size of a step in grey levels (published: 0.005, probably of [0, 1]).
        sigma: noise of the alignment, of its entries with the face as [-1, 1].
        prompt: what the photos are captioned with.
    """

    paper: ClassVar[str] = "CVPR 2026"

    preset: str = "auto"
    recognisers: tuple[str, ...] | None = None
    adapter: str | None = None
    steps: int = 200
    step: float = 1.275
    sigma: float = 0.003
    prompt: str = "a photo of person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {},
        "facelet": {"recognisers": FACELET["recognisers"], "adapter": "zoo"},
    }

    def resolved(self, family: str) -> IdGuardian:
        return fill(self, self.presets, "facelet" if family == "facelet" else "published")

    def files(self) -> dict[str, str]:
        return fingerprints(self.recognisers or ()) | {"adapter": self._located().fingerprint}

    def _located(self) -> Adapter:
        return locate_adapter("ip-adapter", self.adapter, "facelet-1", setting="defense.adapter")

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base, sources, adapter = context.surrogates[0], packs(self.recognisers), self._located()
        generator = context.generator
        faces = Faces.found(photos, sources[0])
        by_face = face_similarity(photos, faces, sources, self.sigma, generator)
        tower = image_encoder(adapter.folder / "image_encoder", str(photos.device))
        condition = caption(base, self.prompt, len(photos))
        with torch.no_grad():
            wanted = look(tower, photos)

        def similarity(candidates: Tensor) -> Tensor:
            return by_face(candidates).sum() + F.cosine_similarity(look(tower, candidates), wanted).sum()

        @torch.no_grad()
        def deflection(candidates: Tensor) -> Tensor:
            timesteps = base.random_timesteps(len(candidates), generator)
            latents = base.encode(candidates)
            noised = base.add_noise(latents, randn(latents.shape, generator, base.device), timesteps)
            cloaked, clean = (
                base.predict(noised, timesteps, condition, added_cond_kwargs={"image_embeds": [seen[:, None]]})
                for seen in (look(tower, candidates), wanted)
            )
            apart = (cloaked - clean).mean(dim=1, keepdim=True)
            return F.interpolate(apart, candidates.shape[-2:], mode="bilinear").expand_as(candidates)

        def objective(candidates: Tensor) -> Tensor:
            """Linear in the photos: its gradient is the published direction."""
            here = candidates.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(similarity(here), here)
            return (candidates * (unit(deflection(here)) - unit(gradient))).sum()

        # At the clean photo itself both terms are at their extreme, and say nothing.
        start = random_start(photos, Budget(min(1, context.budget.whole_levels)), generator)
        with adapted(base, adapter):
            return ascend(start, photos, objective, context.budget, self.step, self.steps, progress=context.progress)


def unit(values: Tensor) -> Tensor:
    """Each photo's values divided by their norm; zero stays zero."""
    return F.normalize(values.flatten(1), dim=1).view_as(values)


@contextmanager
def adapted(base: Base, adapter: Adapter) -> Iterator[None]:
    """A base with an IP-Adapter in it, until the context ends."""
    pipeline = base.pipeline()
    load_ip_adapter(pipeline, adapter.tensors())
    try:
        yield
    finally:
        pipeline.unload_ip_adapter()
