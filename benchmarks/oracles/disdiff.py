"""DisDiff (riolys/DisDiff, its script `disdiff.py` and `show_attention.py`): erasure, step sizes and the loop."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.models.diffusion.attention import watched
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.finetuning import finetune
from bench.models.diffusion.recipe import Recipe
from benchmarks.oracles import LEVELS, Row, attentive, cloaks, number, photos, protect, slopes, vectors
from defenses.disdiff import erasure
from defenses.objectives import caption, denoise
from tests.support.plain_steps import PROMPT, Plain, projected, shares

WEIGHT, SIDE, STEP = 0.1, 8, 2.0
WORDS, TOKEN = range(1, 6), 3
"""Places of "a photo of sks person" behind the start token, and of "sks" among them; the released code counts words."""
RATE, ROUNDS, PGD = 1e-3, 2, 3


def compare(root: Path) -> Iterator[Row]:
    """The erasure, its share of the gradient, the whole gradient, and whole cloaks."""
    base, clean = attentive(root, 3), photos()
    x = (clean + 0.02).clamp(0, 1)

    def released(x: Tensor) -> tuple[Tensor, Tensor]:
        return _losses(base, x, torch.Generator().manual_seed(7))[:2]

    def ours(x: Tensor) -> tuple[Tensor, Tensor]:
        words, places = base.token_places(PROMPT, PROMPT), base.token_places(PROMPT, "sks")
        with watched(base.unet, {SIDE}) as maps:
            error = denoise(base, x, caption(base, PROMPT, len(x)), torch.Generator().manual_seed(7)).error
        return error, erasure(maps, places, words)

    yield number("disdiff", "erasure", released(x)[1], ours(x)[1])
    (error, erased), (my_error, my_erased) = slopes(released, x), slopes(ours, x)
    percent = [100 * WEIGHT * float(b.norm() / a.norm()) for a, b in ((error, erased), (my_error, my_erased))]
    yield number("disdiff", "its gradient, % of the loss's", *percent)
    yield vectors("disdiff", "gradient", error + WEIGHT * erased, my_error + WEIGHT * my_erased)
    made = {variant: _cloak(base, clean, variant) for variant in ("as_released", "intended")}
    theirs = _loop(base, clean)
    base.restore()
    yield cloaks("disdiff", f"cloak, {ROUNDS} rounds", clean, theirs, made["as_released"], made["intended"])


def _losses(base: DiffusionModel, x: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor, Tensor]:
    """Denoising loss and erasure of a batch, and its timesteps."""
    plain = Plain(base, draw)
    with projected(base.unet) as seen:
        predicted, noise, timesteps, _ = plain.step(plain.latents(x))
    maps = []
    for name, (query, key) in seen.items():
        if name.endswith("attn2") and query.shape[1] == SIDE**2:
            maps.append(shares(query, key, base.unet.get_submodule(name).heads).flatten(0, 1))
    mean = torch.cat(maps).mean(0)  # over layers, photos and heads
    squares = F.softmax(100 * mean[:, list(WORDS)], dim=-1) ** 2
    erased = (1 - squares[:, TOKEN].sum() / squares.sum()) ** 2
    return ((predicted - noise) ** 2).mean(), erased, timesteps


def _loop(base: DiffusionModel, clean: Tensor) -> Tensor:
    """Rounds with one model: a step on clean photos, steps of the cloak against it, a step on the cloaked ones."""
    draw, x, radius = torch.Generator().manual_seed(0), clean, LEVELS / 255
    for _ in range(ROUNDS):
        _learn(base, clean, draw)
        for _ in range(PGD):
            x = x.detach().requires_grad_(True)
            error, erased, timesteps = _losses(base, x, draw)
            (slope,) = torch.autograd.grad(error + WEIGHT * erased, x)
            scale = 0.5 * (torch.cos(timesteps / 999 * math.pi) + 1)
            moved = x.detach() + STEP / 255 * scale.view(-1, 1, 1, 1) * slope.sign()
            x = (clean + (moved - clean).clamp(-radius, radius)).clamp(0, 1)
        _learn(base, x, draw)
    return x


def _learn(base: DiffusionModel, x: Tensor, draw: torch.Generator) -> None:
    """A step of fine-tuning, by our trainer, which `benchmarks.upstream` compares with diffusers' own."""
    with torch.no_grad():
        latents = base.posterior(x)
    finetune(base, base.parameters(), latents, Recipe(steps=1, learning_rate=RATE, batch=len(x)), draw)
    base.freeze()


def _cloak(base: DiffusionModel, clean: Tensor, variant: str) -> Tensor:
    settings: dict[str, Any] = {"rounds": ROUNDS, "surrogate_steps": 1, "pgd_steps": PGD, "batch": 0, "step": STEP}
    settings |= {"learning_rate": RATE, "sides": [SIDE], "search": False}
    return protect("disdiff", base, clean, variant, **settings)
