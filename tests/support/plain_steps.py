"""One denoising step in plain PyTorch on diffusers' own modules: for oracles, which share no code with `defenses`.

Random numbers are drawn in the documented order: posterior, timesteps, noise.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.models.diffusion.base import DiffusionModel

PROMPT = "a photo of sks person"


@dataclass
class Plain:
    """Parts of one denoising step; photos are in [0, 1]."""

    base: DiffusionModel
    draw: torch.Generator

    def hidden(self, prompt: str, count: int) -> Tensor:
        tokens = self.base.tokenizer([prompt], padding="max_length", truncation=True, return_tensors="pt").input_ids
        states: Tensor = self.base.text_encoder(tokens).last_hidden_state.detach()
        return states.expand(count, -1, -1)

    def posterior(self, photos: Tensor) -> Any:
        return self.base.vae.encode(2 * photos - 1).latent_dist

    def latents(self, photos: Tensor) -> Tensor:
        posterior = self.posterior(photos)
        noise = torch.randn(posterior.mean.shape, generator=self.draw)
        latents: Tensor = (posterior.mean + posterior.std * noise) * self.base.vae.config.scaling_factor
        return latents

    def step(self, latents: Tensor, prompt: str | Tensor = PROMPT) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Prediction, noise, timesteps, noised latents."""
        timesteps = torch.randint(0, 1000, (len(latents),), generator=self.draw)
        noise = torch.randn(latents.shape, generator=self.draw)
        return (*self.predict(latents, noise, timesteps, prompt),)

    def predict(
        self, latents: Tensor, noise: Tensor, timesteps: Tensor, prompt: str | Tensor
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """The same at given noise; the prompt may be states (1, tokens, dim)."""
        kept = self.base.scheduler.alphas_cumprod[timesteps].view(-1, 1, 1, 1)
        noised = kept**0.5 * latents + (1 - kept) ** 0.5 * noise
        states = prompt if isinstance(prompt, Tensor) else self.hidden(prompt, 1)
        predicted = self.base.unet(noised, timesteps, states.expand(len(latents), -1, -1)).sample
        return predicted, noise, timesteps, noised


def gradient(objective: Callable[[Tensor], Tensor], photos: Tensor) -> Tensor:
    photos = photos.clone().requires_grad_(True)
    return torch.autograd.grad(objective(photos), photos)[0]


@contextmanager
def projected(unet: Any) -> Iterator[dict[str, list[Tensor]]]:
    """Name of an attention layer -> what its query and key projections put out, as they are computed."""
    seen: dict[str, list[Tensor]] = {}
    hooks = []
    for name, module in unet.named_modules():
        if name.endswith(("attn1", "attn2")):
            for part in ("to_q", "to_k"):
                layer = getattr(module, part)
                hooks.append(layer.register_forward_hook(lambda _m, _i, o, n=name: seen.setdefault(n, []).append(o)))
    try:
        yield seen
    finally:
        for hook in hooks:
            hook.remove()


def shares(query: Tensor, key: Tensor, heads: int) -> Tensor:
    """(n, heads, positions, tokens) attention of projected queries and keys (n, positions or tokens, width)."""
    q, k = (x.reshape(*x.shape[:2], heads, -1).transpose(1, 2) for x in (query, key))
    return torch.softmax(q @ k.transpose(-1, -2) / q.shape[-1] ** 0.5, dim=-1)


def attention_maps(base: DiffusionModel, latents: Tensor, timesteps: Tensor, prompt: str) -> list[Tensor]:
    """(n, positions, tokens) of all layers, means over the heads."""
    return [maps.mean(1) for maps in attention_of_heads(base, latents, timesteps, prompt)]


def attention_of_heads(base: DiffusionModel, latents: Tensor, timesteps: Tensor, prompt: str) -> list[Tensor]:
    """(n, heads, positions, tokens) of all layers."""
    with projected(base.unet) as seen:
        base.unet(latents, timesteps, base.condition([prompt]).hidden.expand(len(latents), -1, -1))
    heads = {name: base.unet.get_submodule(name).heads for name in seen}
    return [shares(query, key, heads[name]) for name, (query, key) in sorted(seen.items())]
