"""Anti-Diffusion (whulizheng/Anti-Diffusion, `Defense/antidiffusion.py`): its loss, its prompt and its rounds."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.cross_attention import queried
from benchmarks.oracles import LEVELS, Row, attentive, cloaks, context, number, photos, protect, slopes, vectors
from defenses.antidiffusion import AntiDiffusion, amount
from defenses.objectives import caption, denoise
from tests.support.plain_steps import Plain, projected, shares

SIDE, STEP, RATE, PROMPT_RATE = 8, 1.0, 1e-5, 1e-2
ROUNDS, TUNING, PGD, LEARNING = 3, 4, 2, 2
SETTINGS: dict[str, Any] = {
    "rounds": ROUNDS,
    "prompt_steps": TUNING,
    "prompt_rate": PROMPT_RATE,
    "pgd_steps": PGD,
    "step": STEP,
    "surrogate_steps": LEARNING,
    "learning_rate": RATE,
    "sides": [SIDE],
}


def compare(root: Path) -> Iterator[Row]:
    """The attention's loss and share of the gradient, the tuned prompt, and whole cloaks."""
    base, clean = attentive(root, 6), photos()
    x, hidden = (clean[:1] + 0.02).clamp(0, 1), base.condition([""]).hidden.detach()

    def released(x: Tensor) -> tuple[Tensor, Tensor]:
        return _losses(base, x, hidden, torch.Generator().manual_seed(7))

    def ours(x: Tensor, half: bool = True) -> tuple[Tensor, Tensor]:
        with queried(base.unet, {SIDE}) as queries:
            error = denoise(base, x, caption(base, "", 1), torch.Generator().manual_seed(7)).error
        return error, amount([query.shares(query.layer.to_k(hidden)) for query in queries], half)

    name = "antidiffusion"
    yield number(name, "attention", released(x)[1], ours(x)[1], float(ours(x, half=False)[1]))
    (error, disturbed), (my_error, mine) = slopes(released, x), slopes(ours, x)
    percent = [100 * float(b.norm() / a.norm()) for a, b in ((error, disturbed), (my_error, mine))]
    yield number(name, "its gradient, % of the loss's", *percent)
    yield vectors(name, "gradient", error - disturbed, my_error - mine)
    defense, start = AntiDiffusion(prompt_steps=TUNING, prompt_rate=PROMPT_RATE), caption(base, "", 1)
    tuned = defense._tuned(base, x, start, context(base, clean))
    theirs = _tuned(base, x, hidden, torch.Generator().manual_seed(0))
    yield vectors(name, f"prompt after {TUNING} steps", theirs, tuned.hidden, hidden)
    made = {variant: protect(name, base, clean, variant, **SETTINGS) for variant in ("as_released", "intended")}
    theirs = _all(base, clean)
    yield cloaks(name, f"cloak, {ROUNDS} rounds", clean, theirs, made["as_released"], made["intended"])


def _losses(base: DiffusionModel, x: Tensor, hidden: Tensor, draw: torch.Generator) -> tuple[Tensor, Tensor]:
    """Denoising loss and attention of one photo: half of the heads, averaged over heads and layers, then cut off."""
    plain = Plain(base, draw)
    with projected(base.unet) as seen:
        predicted, noise, _, _ = plain.step(plain.latents(x), hidden)
    maps = []
    for name, (query, key) in seen.items():
        if name.endswith("attn2") and query.shape[1] == SIDE**2:
            heads = shares(query, key, base.unet.get_submodule(name).heads)[0]
            maps.append(heads[len(heads) // 2 :])
    mean = torch.cat(maps).mean(0)
    return ((predicted - noise) ** 2).mean(), ((100 * mean).clamp(0, 1) ** 2).mean()


def _tuned(base: DiffusionModel, x: Tensor, hidden: Tensor, draw: torch.Generator) -> Tensor:
    """States trained from where they are by a fresh AdamW, on one sample of the photo's latents."""
    plain, hidden = Plain(base, draw), hidden.clone().requires_grad_(True)
    optimizer = torch.optim.AdamW([hidden], lr=PROMPT_RATE)
    with torch.no_grad():
        latents = plain.latents(x)
    for _ in range(TUNING):
        predicted, noise, _, _ = plain.step(latents, hidden)
        optimizer.zero_grad()
        ((predicted - noise) ** 2).mean().backward()  # type: ignore[no-untyped-call]
        optimizer.step()
    return hidden.detach()


def _learn(base: DiffusionModel, x: Tensor, hidden: Tensor, draw: torch.Generator) -> None:
    """The UNet learns the photo under the tuned states; its gradient is clipped, as the card says it is here."""
    weights = list(base.unet.parameters())
    for weight in weights:
        weight.requires_grad_(True)
    optimizer, plain = torch.optim.AdamW(weights, lr=RATE, weight_decay=1e-2), Plain(base, draw)
    for _ in range(LEARNING):
        with torch.no_grad():
            latents = plain.latents(x)
        predicted, noise, _, _ = plain.step(latents, hidden)
        optimizer.zero_grad()
        ((predicted - noise) ** 2).mean().backward()  # type: ignore[no-untyped-call]
        torch.nn.utils.clip_grad_norm_(weights, 1.0)
        optimizer.step()
    base.freeze()


def _disturbed(base: DiffusionModel, start: Tensor, hidden: Tensor, draw: torch.Generator) -> Tensor:
    """Steps of the cloak in a ball of its own around where it begins, one of as many as there are rounds."""
    x, radius = start, LEVELS / 255 / ROUNDS
    for _ in range(PGD):
        x = x.detach().requires_grad_(True)
        error, attention = _losses(base, x, hidden, draw)
        (slope,) = torch.autograd.grad(error - attention, x)
        x = (start + (x.detach() + STEP / 255 * slope.sign() - start).clamp(-radius, radius)).clamp(0, 1)
    return x


def _all(base: DiffusionModel, clean: Tensor) -> Tensor:
    """Prompt and cloak; then in each round the UNet, the cloak and the prompt. Every photo begins with a fresh UNet."""
    made, draw = [], torch.Generator().manual_seed(0)
    for photo in clean:
        x = photo[None]
        hidden = _tuned(base, x, base.condition([""]).hidden.detach(), draw)
        x = _disturbed(base, x, hidden, draw)
        for turn in range(1, ROUNDS):
            _learn(base, x, hidden, draw)
            x = _disturbed(base, x, hidden, draw)
            if turn < ROUNDS - 1:  # nothing uses the last
                hidden = _tuned(base, x, hidden, draw)
        made.append(x)
        base.restore()
    return torch.cat(made)
