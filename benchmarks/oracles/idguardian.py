"""IDGuardian (OpenAscent-L/IDGuardian, `scripts/IDGuardian_train.py`), with an IP-Adapter Plus Face.

Whole cloaks are not compared: at the clean photo, where the released loop begins, the direction is rounding errors.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers.image_utils import OPENAI_CLIP_MEAN, OPENAI_CLIP_STD

from bench.models.adapters.clip import load_image_encoder
from bench.models.adapters.locate import load_ip_adapter, locate_adapter
from bench.models.faces.embedder import FaceEmbedder
from bench.models.faces.insightface import locate_pack
from benchmarks.oracles import Row, attentive, cloaks, context, number, photos, vectors
from defenses.idguardian import IdGuardian
from tests.support import tiny
from tests.support.plain_steps import Plain, gradient

NAME, STEP = "idguardian", 1.275
VARIANTS: tuple[Literal["as_released", "intended"], ...] = ("as_released", "intended")


def compare(root: Path) -> Iterator[Row]:
    """The direction of a step, the share of the score in it, and one step."""
    base, clean = attentive(root, 3), photos()
    packs = [str(tiny.pack(root / f"pack{seed}", seed)) for seed in (0, 1)]
    folder = str(tiny.ip_adapter_plus_face(root / "adapter", base.unet))
    adapter, pipeline = locate_adapter("ip-adapter-plus-face", folder, "tiny"), base.pipeline()
    load_ip_adapter(pipeline, adapter.tensors())
    tower: Any = load_image_encoder(adapter.image_encoder).requires_grad_(False)
    networks = [FaceEmbedder(locate_pack(pack)) for pack in packs]
    x = (clean + 0.02 * torch.sign(clean - 0.6)).clamp(0, 1)

    def encoded(x: Tensor) -> Any:
        small = F.interpolate(x, size=(tiny.SIDE, tiny.SIDE), mode="bilinear", align_corners=False)
        mean, std = (torch.tensor(values).view(3, 1, 1) for values in (OPENAI_CLIP_MEAN, OPENAI_CLIP_STD))
        return tower((small - mean) / std, output_hidden_states=True)

    def features(x: Tensor) -> list[Tensor]:
        small = F.interpolate(x, size=(112, 112), mode="bilinear", align_corners=False)
        return [encoded(x).image_embeds, *(net(small) for net in networks)]

    original = [value.detach() for value in features(clean)]

    def identity(x: Tensor) -> Tensor:
        return torch.stack([F.cosine_similarity(a, b) for a, b in zip(features(x), original, strict=True)]).sum()

    draw = torch.Generator().manual_seed(0)
    timesteps = torch.randint(0, 1000, (2,), generator=draw)
    noise = torch.randn(2, *base.latent_shape, generator=draw)
    with torch.no_grad():
        plain = Plain(base, draw)
        latents = plain.posterior(clean).mode() * base.vae.config.scaling_factor
        kept = base.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noised = kept**0.5 * latents + (1 - kept) ** 0.5 * noise
        text = plain.hidden("A photo of a person", 2)
        cloaked, of_clean = (
            base.unet(noised, timesteps, text, added_cond_kwargs={"image_embeds": [seen.hidden_states[-2][:, None]]})
            for seen in (encoded(x), encoded(clean))
        )
        score = -(cloaked.sample - of_clean.sample) / (1 - kept) ** 0.5
        score = F.interpolate(score[:, :3], size=x.shape[-2:], mode="bilinear", align_corners=False)
    slope = gradient(identity, x)
    theirs = torch.cat([s / (s.norm() + 1e-8) - g / (g.norm() + 1e-8) for s, g in zip(score, slope, strict=True)])
    theirs = theirs.view_as(x)

    def ours(variant: Literal["as_released", "intended"]) -> Tensor:
        defense = IdGuardian(variant=variant, plus_face=True, recognisers=tuple(packs), adapter=folder)
        return defense.direction(base, clean, context(base, clean))(x)

    made = {variant: ours(variant) for variant in VARIANTS}
    pipeline.unload_ip_adapter()
    yield vectors(NAME, "direction", theirs, made["as_released"], made["intended"])
    agree = [100 * float((d.sign() == -slope.sign()).float().mean()) for d in (theirs, *made.values())]
    yield number(NAME, "% of values that step against the similarity", agree[0], agree[1], agree[2])
    steps = [(x + STEP / 255 * direction.sign()).clamp(0, 1) for direction in (theirs, *made.values())]
    yield cloaks(NAME, "a step", x, *steps)
