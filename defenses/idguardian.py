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

from dataclasses import dataclass
from typing import ClassVar

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.prompts import Caption
from bench.core.ranges import Count, StepLevels
from bench.models.diffusion.base import randn
from defenses import Context
from defenses.adapter import AdapterCloak, adapted
from defenses.encoders import Faces, face_similarity, image_encoder, look, packs
from defenses.objectives import caption
from defenses.pgd import nudged, pgd


@dataclass(frozen=True)
class IdGuardian(AdapterCloak):
    """IDGuardian: turn identity encoders away, and deflect the predictions of an IP-Adapter.

    Attributes:
        steps: steps of the cloak (published: at most 200).
        step: size of a step in grey levels (published: 0.005, probably of [0, 1]).
        prompt: what the photos are captioned with.
        preset, recognisers and others: see `defenses.adapter.AdapterCloak`.
    """

    paper: ClassVar[str] = "CVPR 2026"

    steps: Count = 200
    step: StepLevels = 1.275
    prompt: Caption = "a photo of person"

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base, sources, adapter = context.surrogates[0], packs(self.recognisers), self.located()
        generator = context.generator
        faces = Faces.found(photos, sources[0])
        by_face = face_similarity(photos, faces, sources, self.sigma, generator)
        tower = image_encoder(adapter.image_encoder, str(photos.device))
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

        start = nudged(photos, context.budget, generator)
        with adapted(base, adapter):
            return pgd(start, photos, objective, context.budget, self.step, self.steps, progress=context.progress)


def unit(values: Tensor) -> Tensor:
    """Each photo's values divided by their norm; zero stays zero."""
    return F.normalize(values.flatten(1), dim=1).view_as(values)
