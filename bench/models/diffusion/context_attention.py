"""How much a picture looks at a photo beside it, in FLUX's blocks of one stream, differentiably.

There prompt, picture and photo are one sequence, in this order, and every place of the picture spreads one softmax
over all of it.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bench.models.diffusion.eager import eager
from bench.models.diffusion.joint_attention import heads, rotated


@contextmanager
def attention_to_photo(transformer: Any, blocks: int) -> Iterator[list[Tensor]]:
    """Record the share of its attention that the picture gives to the photo, until the context ends.

    Each forward pass fills the list anew: for each block (n,), means over the heads and the places of the picture. The
    pass itself is as without. Gradients are to be computed before the context ends, since with gradient checkpointing
    what was looked at is computed again.

    Args:
        transformer: a stock `FluxTransformer2DModel`, its arguments given by name, the photo's tokens last and with 1
            as the first coordinate of their places.
        blocks: the first so many blocks of one stream, or all there are.
    """
    shares: list[Tensor] = []
    layout: dict[str, int] = {}

    def begin(_module: Any, _inputs: Any, named: dict[str, Any]) -> None:
        shares.clear()
        layout["prompt"] = named["encoder_hidden_states"].shape[1]
        layout["picture"] = int((named["img_ids"][:, 0] == 0).sum())

    def look(layer: Any, _inputs: Any, named: dict[str, Any], _output: Any) -> None:
        states, rotary = named["hidden_states"], named["image_rotary_emb"]
        query = rotated(heads(layer, layer.to_q(states), layer.norm_q), rotary)
        key = rotated(heads(layer, layer.to_k(states), layer.norm_k), rotary)
        first, last = layout["prompt"], layout["prompt"] + layout["picture"]
        each = [
            checkpoint(_share, query[:, first:last, head], key[:, :, head], last, use_reentrant=False)
            for head in range(query.shape[2])
        ]
        shares.append(torch.stack(each).mean(dim=0))

    hooks = [transformer.register_forward_pre_hook(begin, with_kwargs=True)]
    for block in transformer.single_transformer_blocks[:blocks]:
        hooks.append(block.attn.register_forward_hook(look, with_kwargs=True))
    try:
        with eager(transformer, again=True):
            yield shares
    finally:
        for hook in hooks:
            hook.remove()


def _share(query: Tensor, key: Tensor, photo: int) -> Tensor:
    """(n,) mean share of the keys from `photo` on. Of a map of 4096 x 8704 nothing else need be kept."""
    every = torch.softmax((query @ key.mT).float() * query.shape[-1] ** -0.5, dim=-1)
    return every[..., photo:].sum(dim=-1).mean(dim=-1)
