"""Mist (mist-project/mist, `mist_v3.py` and `Masked_PGD.py`): its fused loss on the latents of 512 px, and on fewer.

The released code samples the latents of a photo twice, once for each term, and those of the constant target anew at
every step; here, as in ours, one sample serves both terms and the target is its mean. It captions every photo "a
painting".
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from bench.models.diffusion.base import DiffusionModel
from benchmarks.oracles import LEVELS, Row, attentive, cloaks, number, photos, protect, slopes, vectors
from defenses.mist import Mist
from defenses.targets import pattern
from tests.support import tiny
from tests.support.plain_steps import Plain

VARIANTS: tuple[Literal["as_released", "intended"], ...] = ("as_released", "intended")
CAPTION, RATE, STEP, STEPS = "a painting", 1e4, 1.0, 3


def compare(root: Path) -> Iterator[Row]:
    """The distance's share of the gradient, at the tiny size and at that of 512 px, and whole cloaks."""
    base, clean = attentive(root, 1), photos()
    target = base.vae.encode(2 * pattern(tiny.SIDE) - 1).latent_dist.mean.detach() * base.vae.config.scaling_factor

    def released(x: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
        plain = Plain(base, draw)
        latents = plain.latents(x)
        predicted, noise, _, _ = plain.step(latents, CAPTION)
        return RATE * ((predicted - noise) ** 2).mean(), ((latents - target) ** 2).sum() / len(x)

    x = (clean + 0.02).clamp(0, 1)
    loss, distance = slopes(lambda x: released(x, torch.Generator().manual_seed(7)), x)
    mine = {variant: _slope(Mist(variant=variant, prompt=CAPTION), base, x) for variant in VARIANTS}
    semantic = RATE * _slope(Mist(mode="semantic", prompt=CAPTION), base, x)
    shares = {variant: 100 * float((semantic - slope).norm() / semantic.norm()) for variant, slope in mine.items()}
    share = 100 * float(distance.norm() / loss.norm())
    yield number(
        "mist", "distance's gradient, % of the loss's", share, shares["as_released"], otherwise=shares["intended"]
    )
    yield vectors("mist", "gradient", loss - distance, mine["as_released"], mine["intended"])
    settings: dict[str, Any] = {"rate": RATE, "steps": STEPS, "step": STEP / LEVELS, "prompt": CAPTION}
    made = {variant: protect("mist", base, clean, variant, **settings) for variant in ("as_released", "intended")}
    draw = torch.Generator().manual_seed(0)
    start = torch.rand(clean.shape, generator=draw) * 2 - 1
    x = (clean + LEVELS / 255 * start).clamp(0, 1)
    for _ in range(STEPS):
        x = x.detach().requires_grad_(True)
        loss, distance = released(x, draw)
        (slope,) = torch.autograd.grad(loss - distance, x)
        moved = (x.detach() + STEP / 255 * slope.sign() - clean).clamp(-LEVELS / 255, LEVELS / 255)
        x = (clean + moved).clamp(0, 1)
    yield cloaks("mist", f"cloak, {STEPS} steps", clean, x, made["as_released"], made["intended"])


def _slope(defense: Mist, base: DiffusionModel, x: Tensor) -> Tensor:
    (slope,) = slopes(lambda x: [defense.objective(base, x, torch.Generator().manual_seed(7))(x)], x)
    return slope
