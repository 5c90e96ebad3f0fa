"""FaceShield (Jeong et al., "FaceShield: defending facial image against deepfake threats", ICCV 2025).

Idea: face swappers read the person by CLIP, through an IP-Adapter, and by recognisers: move both, and make what places
of the picture attend to among the adapter's tokens more uneven where it is even; with a perturbation without high
frequencies and hard edges, so that JPEG leaves it alone and nobody sees it.
Attacks: zero-shot adapters and face swapping. Published budget: 12. Cost per photo: a UNet pass with gradients for
each step and one more, 31 as published, and steps passes of each encoder.

From the released code: all terms and their weights, the filters, the number and size of the steps, the start without
noise. Its modified UNet is not among what we could read of it, so the attention's term is as a fork of it has it
(imagecbj/An-Adversarial-Attack-Method-against-Diffusion-Based-Face-Swapping-Forgery, `attention_processor.py`). Its
term against a face detector (MTCNN) is off in its script, and left out here.
It has defects: the second recogniser's embedding is compared with the first's of the clean photo, recognisers see the
whole photo, not aligned, and the VAE photos in [0, 1] where it expects [-1, 1]. `variant=as_released` has them all; by
default each recogniser is turned away from its own embedding of the aligned face, as attackers read it, and the blur,
made for photos of 512 px, is as wide a part of any photo.
Different in both: recognisers normalise as their packs say (there as for ImageNet), and it computes in fp32.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from pydantic import Field
from torch import Tensor

from bench.core.ranges import Count, SomeShare, StepLevels, Weight
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.cross_attention import Query, queried
from bench.models.faces.insightface import Pack
from defenses import Context
from defenses.adapter import AdapterCloak, adapted, look_coarsely
from defenses.encoders import Faces, Similarity, embedder, face_similarity, image_encoder, look, packs
from defenses.filters import low_pass, soften
from defenses.objectives import caption
from defenses.pgd import Objective

PUBLISHED = 512
"""Side of the photos that the blur is made for."""
UNEVEN = 1.875
"""What the variance of a place's attention to the adapter's tokens is pushed to; more than it can be."""


@dataclass(frozen=True)
class FaceShield(AdapterCloak):
    """FaceShield: move an IP-Adapter's reading and its attention, and recognisers, with a smooth perturbation.

    Attributes:
        variant: "intended", or "as_released", with its defects.
        steps: steps of the cloak (published: 30).
        step: size of a step in grey levels (published: 1).
        identity_weight: weight of the recognisers beside the image encoder (published: 4).
        attention_weight: weight of the attention (published: 1).
        evenest: share of the places whose attention counts, those where it is most even (published: 0.2).
        sides: sides of the attention maps, latent pixels (published: 16 and 8, of latents of 64).
        smooth: filter the perturbation (published).
        preset, recognisers and others: see `defenses.adapter.AdapterCloak`; `sigma` does nothing as released.
    """

    paper: ClassVar[str] = "ICCV 2025, arXiv 2412.09921"
    loop: ClassVar[str] = "steps"

    variant: Literal["intended", "as_released"] = "intended"
    steps: Count = 30
    step: StepLevels = 1.0
    identity_weight: Weight = 4.0
    attention_weight: Weight = 1.0
    evenest: SomeShare = 0.2
    sides: Annotated[tuple[Count, ...], Field(min_length=1)] | None = None
    smooth: bool = True

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {**AdapterCloak.presets["published"], "sides": (16, 8)},
        "sdxl": {**AdapterCloak.presets["sdxl"], "sides": (32,)},
        "facelet": {**AdapterCloak.presets["facelet"], "sides": (4,)},
    }

    def evaluations(self, turns: int) -> float:
        return turns + 1

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base = context.surrogates[0]
        with adapted(base, self.located()):
            objective = self.objective(base, photos, context)
            perturbation, radius = torch.zeros_like(photos), context.budget.radius
            scale = 1.0 if self.variant == "as_released" else photos.shape[-1] / PUBLISHED
            for done in range(self.steps):
                at = perturbation.requires_grad_(True)
                (gradient,) = torch.autograd.grad(objective((photos + at).clamp(0, 1)), at)
                down = -self.step / 255 * gradient.sign()  # as there, where the objective is made small
                moved = perturbation.detach() - (soften(down, scale) if self.smooth else down)
                perturbation = (low_pass(moved) if self.smooth else moved).clamp(-radius, radius)
                context.progress((done + 1) / self.steps)
        return (photos + perturbation).clamp(0, 1)

    def objective(self, base: DiffusionModel, photos: Tensor, context: Context) -> Objective:
        """What is made large, a sum over photos; the base has the adapter in it."""
        sources, released = packs(self.recognisers), self.variant == "as_released"
        if released:
            similarity = whole_photo_similarity(photos, sources)
        else:
            faces = Faces.found(photos, sources[0])
            similarity = face_similarity(photos, faces, sources, self.sigma, context.generator)
        tower = image_encoder(self.located().image_encoder, str(photos.device))
        read = look_coarsely if released else look
        with torch.no_grad():
            latents = base.encode(photos / 2 + 0.5, context.generator) if released else base.encode(photos)
            wanted = read(tower, photos)
            even = [evenest(variance, self.evenest) for variance in self._variances(base, latents, wanted)]

        def objective(candidates: Tensor) -> Tensor:
            embeddings = read(tower, candidates)
            moved = (embeddings - wanted).abs().mean(dim=1).sum()
            identity = (1 - similarity(candidates)).sum()
            variances = self._variances(base, latents, embeddings)
            pushed = [((UNEVEN - v) * m).square().mean(dim=(1, 2)).sum() for v, m in zip(variances, even, strict=True)]
            return self.identity_weight * identity + moved - self.attention_weight * torch.stack(pushed).sum()

        return objective

    def _variances(self, base: DiffusionModel, latents: Tensor, embeddings: Tensor) -> list[Tensor]:
        """Of each layer, (n, heads, positions): the variance of a place's attention over the adapter's tokens."""
        timesteps = torch.zeros(len(latents), dtype=torch.long, device=base.device)
        seen = {"image_embeds": [embeddings[:, None]]}
        with queried(base.unet, self.sides or ()) as queries:
            base.predict(latents, timesteps, caption(base, "", len(latents)), added_cond_kwargs=seen)
        tokens = base.unet.encoder_hid_proj(seen["image_embeds"])[0].squeeze(1)
        return [query.shares(_image_key(query, tokens)).var(dim=-1) for query in queries]


def _image_key(query: Query, tokens: Tensor) -> Tensor:
    key: Tensor = query.layer.processor.to_k_ip[0](tokens)
    return key


def evenest(variances: Tensor, share: float) -> Tensor:
    """Where (n, heads, positions) values are among the lowest of a photo: 1 there, 0 elsewhere."""
    limits = torch.quantile(variances.flatten(1), share, dim=1)
    return (variances < limits[:, None, None]).to(variances)


def whole_photo_similarity(clean: Tensor, sources: Sequence[Pack]) -> Similarity:
    """As the released code has it: whole photos, made small, and the first recogniser's embeddings for all."""
    embedders = [embedder(pack, str(clean.device)) for pack in sources]

    def seen(photos: Tensor) -> list[Tensor]:
        halved = F.interpolate(photos, (224, 224), mode="bilinear", align_corners=False)
        return [F.interpolate(x, (112, 112)) for x in [halved, *[photos] * (len(sources) - 1)]]

    with torch.no_grad():
        wanted = [embedders[0](x) for x in seen(clean)]

    def similarity(photos: Tensor) -> Tensor:
        shown = zip(embedders, seen(photos), wanted, strict=True)
        return torch.stack([F.cosine_similarity(embed(x), target) for embed, x, target in shown])

    return similarity
