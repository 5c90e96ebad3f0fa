"""A UNet's cross-attention head by head: what places of the picture ask, and what they make of any tokens' keys."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from bench.models.diffusion.attention import none_of
from bench.models.diffusion.eager import eager


@dataclass(frozen=True)
class Query:
    """What a cross-attention layer asks in one forward pass.

    Attributes:
        layer: the layer, a diffusers `Attention`.
        query: (n, positions, width), projected; gradients reach what the UNet was given.
        told: (n, tokens, dim) states of the prompt that it was told, not projected.
    """

    layer: Any
    query: Tensor
    told: Tensor

    def shares(self, key: Tensor) -> Tensor:
        """(n, heads, positions, tokens) attention to projected keys (n, tokens, width); its rows sum to 1."""
        query, key = (self.layer.head_to_batch_dim(x.float(), out_dim=4) for x in (self.query, key))
        return torch.softmax(query @ key.mT * self.layer.scale, dim=-1)


@contextmanager
def queried(unet: Any, sides: Collection[int] | None = None) -> Iterator[list[Query]]:
    """Record the queries of the cross-attentions whose picture has one of these sides (in latent pixels; None: any).

    The forward pass itself is as without. The list grows with every pass until the context ends.

    Raises:
        BenchError: the UNet has no cross-attention of these sides.
    """
    found: list[Query] = []
    seen: set[int] = set()
    asked: list[Tensor] = []

    def record(layer: Any, told: Tensor) -> None:
        query = asked.pop()
        side = math.isqrt(query.shape[1])
        seen.add(side)
        if sides is None or side in sides:
            found.append(Query(layer, query, told))

    layers = [module for name, module in unet.named_modules() if name.endswith("attn2")]
    hooks = [layer.to_q.register_forward_hook(lambda _m, _i, out: asked.append(out)) for layer in layers]
    hooks += [layer.to_k.register_forward_hook(lambda _m, into, _o, of=layer: record(of, into[0])) for layer in layers]
    try:
        with eager(unet):
            yield found
    finally:
        for hook in hooks:
            hook.remove()
    if not found:
        raise none_of(sides, seen)
