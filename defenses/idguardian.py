"""IDGuardian (Xiong et al., "No way to steal my face: proactive defense against identity-preserving personalized
generation", CVPR 2026).

Idea: the gradient of the identity similarity says where encoders look; the difference between what an IP-Adapter
predicts for the cloaked and for the clean person, of the clean photo, is a score that says where generation follows
them. Step against the one and along the other, both at unit length.
Attacks: zero-shot adapters, and fine-tuning to a degree. Published budget: 8. Cost per photo: 2 x steps UNet passes,
forward only: 400 as published.

From the authors' code (OpenAscent-L/IDGuardian, which follows Alg. 1 of the supplement): all of it, and the score's
first three channels for the photo's three. Recognisers stand for its FaceNet. As released they see the whole photo,
made small, not aligned, and the first step follows rounding errors, since nothing has a gradient at the clean photo;
by default they see aligned faces, as attackers' do, CLIP sees what attackers show it, and the start is off by up to a
grey level.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.config.prompts import Caption
from bench.core.ranges import Count, StepLevels
from bench.models.adapters.locate import Adapter, locate_adapter
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import randn
from bench.models.faces.alignment import ALIGNED
from defenses import Context
from defenses.adapter import AdapterCloak, adapted, coarse_clip_input
from defenses.encoders import Faces, Similarity, clip_input, embedder, face_similarity, image_encoder, packs
from defenses.objectives import caption
from defenses.pgd import nudged, pgd


@dataclass(frozen=True)
class IdGuardian(AdapterCloak):
    """IDGuardian: turn identity encoders away, and deflect the predictions of an IP-Adapter.

    Attributes:
        variant: "intended", or "as_released".
        plus_face: whether the adapter is an IP-Adapter Plus Face, as published, or a plain one.
        steps: steps of the cloak (published: 200).
        step: size of a step in grey levels (published: 0.005 of [0, 1]).
        prompt: what the photos are captioned with.
        preset, recognisers and others: see `defenses.adapter.AdapterCloak`; `sigma` does nothing as released.
    """

    paper: ClassVar[str] = "CVPR 2026"
    loop: ClassVar[str] = "steps"

    variant: Literal["intended", "as_released"] = "intended"
    plus_face: bool | None = None
    steps: Count = 200
    step: StepLevels = 1.275
    prompt: Caption = "A photo of a person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        name: {**settings, "plus_face": name != "facelet"} for name, settings in AdapterCloak.presets.items()
    }

    def located(self) -> Adapter:
        name = "ip-adapter-plus-face" if self.plus_face else "ip-adapter"
        return locate_adapter(name, self.adapter, "facelet-1", setting="defense.adapter")

    def evaluations(self, turns: int) -> float:
        return 2 * turns

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base = context.surrogates[0]
        start = photos if self.variant == "as_released" else nudged(photos, context.budget, context.generator)
        with adapted(base, self.located()):
            direction = self.direction(base, photos, context)

            def objective(candidates: Tensor) -> Tensor:
                """Linear in the photos: its gradient is the direction."""
                return (candidates * direction(candidates.detach())).sum()

            return pgd(start, photos, objective, context.budget, self.step, self.steps, progress=context.progress)

    def direction(self, base: DiffusionModel, photos: Tensor, context: Context) -> Callable[[Tensor], Tensor]:
        """Cloaked photos -> where to step, (n, 3, h, w); the base has the adapter in it."""
        sources, generator, released = packs(self.recognisers), context.generator, self.variant == "as_released"
        if released:
            by_face = small_photo_similarity(photos, [embedder(pack, str(photos.device)) for pack in sources])
        else:
            faces = Faces.found(photos, sources[0])
            by_face = face_similarity(photos, faces, sources, self.sigma, generator)
        tower = image_encoder(self.located().image_encoder, str(photos.device))
        prepared = coarse_clip_input if released else clip_input
        condition = caption(base, self.prompt, len(photos))

        def read(candidates: Tensor) -> tuple[Tensor, Tensor]:
            """CLIP's embeddings, and what the adapter is given."""
            seen = tower(prepared(tower, candidates), output_hidden_states=bool(self.plus_face))
            shown = seen.hidden_states[-2] if self.plus_face else seen.image_embeds
            return seen.image_embeds, shown[:, None]

        with torch.no_grad():
            wanted, clean = read(photos)
            latents = base.encode(photos)

        def similarity(candidates: Tensor) -> Tensor:
            return by_face(candidates).sum() + F.cosine_similarity(read(candidates)[0], wanted).sum()

        @torch.no_grad()
        def score(candidates: Tensor) -> Tensor:
            """Where the adapter's reading of the cloaked photos, and not of the clean ones, would lead (Eq. 9).

            The score is a prediction's negative over its noise's size, which unit length makes all the same.
            """
            timesteps = base.random_timesteps(len(candidates), generator)
            noised = base.add_noise(latents, randn(latents.shape, generator, base.device), timesteps)
            cloaked, original = (
                base.predict(noised, timesteps, condition, added_cond_kwargs={"image_embeds": [shown]})
                for shown in (read(candidates)[1], clean)
            )
            side = candidates.shape[-2:]
            return F.interpolate((original - cloaked)[:, :3], side, mode="bilinear", align_corners=False)

        def direction(candidates: Tensor) -> Tensor:
            here = candidates.detach().requires_grad_(True)
            (gradient,) = torch.autograd.grad(similarity(here), here)
            return unit(score(here)) - unit(gradient)

        return direction


def unit(values: Tensor) -> Tensor:
    """Each photo's values divided by their norm; zero stays zero."""
    norm = values.flatten(1).norm(dim=1).view(-1, *[1] * (values.dim() - 1))
    shortened: Tensor = values / (norm + 1e-8)
    return shortened


def small_photo_similarity(clean: Tensor, embedders: list[Callable[[Tensor], Tensor]]) -> Similarity:
    """Cosines by each recogniser on whole photos, made as small as the faces that it wants."""

    def small(photos: Tensor) -> Tensor:
        return F.interpolate(photos, (ALIGNED, ALIGNED), mode="bilinear", align_corners=False)

    with torch.no_grad():
        wanted = [embed(small(clean)) for embed in embedders]

    def similarity(photos: Tensor) -> Tensor:
        seen = small(photos)
        pairs = zip(embedders, wanted, strict=True)
        return torch.stack([F.cosine_similarity(embed(seen), target) for embed, target in pairs])

    return similarity
