"""A look at a transformer's joint attention, where picture and prompt attend to one another in one softmax.

So Stable Diffusion 3 (Esser et al. 2024, Sec. 4) and FLUX take text in. For a place of the picture, the softmax over
the prompt's tokens and all places of the picture is one row: its image-to-text block is what cross-attention is in a
U-Net, its image-to-image block what self-attention is. Neither is normalised again: how much of its attention a place
gives the prompt at all is part of what is seen. What text attends to is not recorded.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from bench.models.diffusion.attention import Maps, none_of
from bench.models.diffusion.eager import eager

MOST = 8
"""Blocks that are looked at, evenly spread from the first to the last, for maps are large.

At 1,024 px the mean over the heads of one layer takes 4096 x (4096 + 333) x 4 bytes, 73 MB a photo: of all of FLUX's 57
blocks 4 GB, and several times that where maps of two models are compared.
"""
PROJECTIONS = ("to_q", "to_k", "add_k_proj")


@contextmanager
def watched(
    transformer: Any, sides: Collection[int] | None = None, by_head: bool = False, to_picture: bool = True
) -> Iterator[Maps]:
    """Record what places of the picture attend to, in at most `MOST` of a transformer's blocks, until the context ends.

    The forward pass itself is as without. Heads are taken one at a time, and computed again for gradients: where the
    mean is asked for, nothing else is kept.

    Args:
        transformer: a stock `SD3Transformer2DModel` or `FluxTransformer2DModel`; one forward pass is made in the
            context, its arguments given by name.
        sides: of the picture in tokens (64 at 1,024 px), the same in all blocks; None for whatever it is.
        by_head: keep each head's map, instead of their mean.
        to_picture: record what they attend to in the picture, too; this includes the layers that attend to nothing
            else (the second attention of Stable Diffusion 3.5 medium).

    Raises:
        BenchError: the picture has none of these sides.
    """
    watch = _Watch(sides, by_head, to_picture)
    hooks = [transformer.register_forward_pre_hook(watch.begin, with_kwargs=True)]
    for layers in _spread(_layers(transformer)):
        hooks += [hook for layer, joined in layers for hook in watch.on(layer, joined)]
    try:
        with eager(transformer):
            yield watch.maps
    finally:
        for hook in hooks:
            hook.remove()
    if not watch.maps.cross:
        raise none_of(sides, watch.seen)


Layer = tuple[Any, bool]
"""An attention layer, and whether it is given prompt and picture as one sequence, in this order."""


def blocks(transformer: Any) -> list[Any]:
    """In the order in which they compute; FLUX's latter project prompt and picture as one sequence."""
    return [*transformer.transformer_blocks, *getattr(transformer, "single_transformer_blocks", ())]


def _layers(transformer: Any) -> list[list[Layer]]:
    """The attention layers of each block, in the order in which they compute."""
    apart = len(transformer.transformer_blocks)
    return [
        [(layer, place >= apart) for layer in (block.attn, getattr(block, "attn2", None)) if layer is not None]
        for place, block in enumerate(blocks(transformer))
    ]


def _spread(every: Sequence[list[Layer]]) -> list[list[Layer]]:
    count = min(MOST, len(every))
    return [every[round(index * (len(every) - 1) / max(1, count - 1))] for index in range(count)]


class _Watch:
    """Hooks that put shares together from what attention layers have projected."""

    def __init__(self, sides: Collection[int] | None, by_head: bool, to_picture: bool) -> None:
        self.maps, self.seen = Maps(), set[int]()
        self._sides, self._by_head, self._to_picture = sides, by_head, to_picture
        self._tokens = 0

    def begin(self, _module: Any, _inputs: Any, named: dict[str, Any]) -> None:
        self._tokens = named["encoder_hidden_states"].shape[1]

    def on(self, layer: Any, joined: bool) -> Iterator[Any]:
        """Watch a layer; the hooks by which that is done."""
        made: dict[str, Tensor] = {}

        def keep(name: str, _module: Any, _inputs: Any, out: Tensor) -> None:
            made[name] = out

        def done(_module: Any, _inputs: Any, named: dict[str, Any], _out: Any) -> None:
            self._record(layer, joined, made, named.get("image_rotary_emb"))
            made.clear()

        for name in PROJECTIONS:
            if getattr(layer, name, None) is not None:
                yield getattr(layer, name).register_forward_hook(partial(keep, name))
        yield layer.register_forward_hook(done, with_kwargs=True)

    def _record(self, layer: Any, joined: bool, made: dict[str, Tensor], rotary: tuple[Tensor, ...] | None) -> None:
        tokens = self._tokens if joined or "add_k_proj" in made else 0
        before = tokens if joined else 0
        side = math.isqrt(made["to_q"].shape[1] - before)
        self.seen.add(side)
        if (self._sides is not None and side not in self._sides) or not (tokens or self._to_picture):
            return
        query = heads(layer, made["to_q"], layer.norm_q)[:, before:]
        key = heads(layer, made["to_k"], layer.norm_k)
        if "add_k_proj" in made:
            key = torch.cat([heads(layer, made["add_k_proj"], layer.norm_added_k), key], dim=1)
        if rotary is not None:
            query, key = rotated(query, [part[tokens:] for part in rotary]), rotated(key, rotary)
        shares = self._shares(query, key, key.shape[1] if self._to_picture else tokens)
        if tokens:
            self.maps.cross.append(shares[..., :tokens])
        if self._to_picture:
            self.maps.self.append(shares[..., tokens:])

    def _shares(self, query: Tensor, key: Tensor, kept: int) -> Tensor:
        """(n, positions, kept) means over the heads, or (n, heads, positions, kept), of the first keys' shares."""
        count = query.shape[2]
        each = (
            checkpoint(_of_head, query[:, :, head], key[:, :, head], kept, use_reentrant=False) for head in range(count)
        )
        if self._by_head:
            return torch.stack([*each], dim=1)
        total = next(each)
        for shares in each:
            total = total + shares
        return torch.as_tensor(total / count)


def heads(layer: Any, projected: Tensor, norm: Any) -> Tensor:
    """(n, sequence, heads, width of a head), normalised if the layer does so."""
    apart = projected.reshape(*projected.shape[:2], layer.heads, -1)
    return apart if norm is None else torch.as_tensor(norm(apart))


def rotated(apart: Tensor, rotary: Sequence[Tensor]) -> Tensor:
    """With the rotary embedding of where each of the sequence is."""
    from diffusers.models.embeddings import apply_rotary_emb

    return torch.as_tensor(apply_rotary_emb(apart, tuple(rotary), sequence_dim=1))


def _of_head(query: Tensor, key: Tensor, kept: int) -> Tensor:
    shares = torch.softmax((query @ key.mT).float() * query.shape[-1] ** -0.5, dim=-1)
    return shares if kept == shares.shape[-1] else shares[..., :kept].clone()  # the rest need not stay in memory
