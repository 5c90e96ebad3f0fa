"""A look at a UNet's attention: who attends to what, differentiably, while it denoises."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

from bench.core.deferred import Tensor, torch
from bench.core.errors import BenchError
from bench.models.diffusion.eager import eager


@dataclass
class Maps:
    """Attention maps of a forward pass, one entry per layer, in the denoiser's order.

    Attributes:
        cross: (n, positions, tokens) each: how much a place in the picture attends to a token of the prompt.
        self: (n, positions, positions) each: how much it attends to every other place.

    All are shares and means over the heads, or (n, heads, ...) by head. Rows sum to 1; where a layer attends to prompt
    and picture in one softmax (joint attention), `cross` and `self` are its two blocks, whose rows together sum to 1.
    """

    cross: list[Tensor] = field(default_factory=list)
    self: list[Tensor] = field(default_factory=list)


@contextmanager
def watched(unet: Any, sides: Collection[int] | None = None, by_head: bool = False) -> Iterator[Maps]:
    """Record the attention maps whose picture has one of these sides (in latent pixels), until the context ends.

    Watched layers compute attention plainly, since fused attention keeps no maps.

    Args:
        unet: a stock `UNet2DConditionModel`; one forward pass is made in the context.
        sides: of the feature maps, such as {16, 32}; the memory of self-attention grows with the fourth power. None
            for all.
        by_head: keep each head's map, instead of their mean.

    Raises:
        BenchError: the UNet has no cross-attention of these sides.
    """
    maps, seen, before = Maps(), set[int](), dict(unet.attn_processors)
    unet.set_attn_processor(
        {name: _Watching(maps, seen, sides, by_head, "attn2" in name, old) for name, old in before.items()}
    )
    try:
        with eager(unet):
            yield maps
    finally:
        unet.set_attn_processor(before)
    if not maps.cross:
        raise none_of(sides, seen)


def none_of(sides: Collection[int] | None, seen: Collection[int]) -> BenchError:
    """The error that there are no attention maps of these sides, only of those that were seen."""
    return BenchError(
        f"The surrogate has no attention maps with a side of {' or '.join(map(str, sides or ())) or 'any kind'}.",
        f"Set defense.sides to some of {sorted(seen)}.",
    )


class _Watching:
    """An attention processor that keeps the shares."""

    def __init__(
        self, maps: Maps, seen: set[int], sides: Collection[int] | None, by_head: bool, cross: bool, before: Any
    ) -> None:
        self._maps, self._seen, self._sides, self._by_head = maps, seen, sides, by_head
        self._cross, self._before = cross, before

    def __call__(
        self, attention: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **more: Any
    ) -> Tensor:
        side = math.isqrt(hidden_states.shape[1])
        self._seen.add(side)
        if self._sides is not None and side not in self._sides:
            unwatched: Tensor = self._before(attention, hidden_states, encoder_hidden_states, **more)
            return unwatched
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attention.to_q(hidden_states), attention.to_k(context), attention.to_v(context)
        query, key, value = (attention.head_to_batch_dim(x) for x in (query, key, value))
        shares = torch.softmax((query @ key.mT).float() * attention.scale, dim=-1)
        seen = shares.reshape(len(hidden_states), -1, *shares.shape[1:])
        seen = seen if self._by_head else seen.mean(dim=1)
        (self._maps.cross if self._cross else self._maps.self).append(seen)
        mixed = attention.batch_to_head_dim(shares.to(value.dtype) @ value)
        for layer in attention.to_out:
            mixed = layer(mixed)
        return torch.as_tensor(mixed)
