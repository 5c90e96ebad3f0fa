"""A look at a UNet's attention: who attends to what, differentiably, while it denoises."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor


@dataclass
class Maps:
    """Attention maps of the last forward pass, one entry per layer, in the UNet's order.

    Attributes:
        cross: (n, positions, tokens) each: how much a place in the picture attends to a token of the prompt.
        self: (n, positions, positions) each: how much it attends to every other place.

    All are shares (rows sum to 1) and means over the heads.
    """

    cross: list[Tensor] = field(default_factory=list)
    self: list[Tensor] = field(default_factory=list)

    def clear(self) -> None:
        """Forget the last forward pass."""
        self.cross.clear()
        self.self.clear()


@contextmanager
def watched(unet: Any, sides: Collection[int]) -> Iterator[Maps]:
    """Record the attention maps whose picture has one of these sides (in latent pixels), until the context ends.

    Watched layers compute attention plainly, since fused attention keeps no maps. The maps of every forward pass
    add to those before; `Maps.clear` starts anew.

    Args:
        unet: a stock `UNet2DConditionModel`.
        sides: of the feature maps, such as {16, 32}; the memory of self-attention grows with the fourth power.
    """
    maps, before = Maps(), dict(unet.attn_processors)
    unet.set_attn_processor(
        {name: _Watching(maps, {side**2 for side in sides}, "attn2" in name, old) for name, old in before.items()}
    )
    try:
        yield maps
    finally:
        unet.set_attn_processor(before)


class _Watching:
    """An attention processor that keeps the shares."""

    def __init__(self, maps: Maps, sizes: Collection[int], cross: bool, before: Any) -> None:
        self._maps, self._sizes, self._cross, self._before = maps, sizes, cross, before

    def __call__(
        self, attention: Any, hidden_states: Tensor, encoder_hidden_states: Tensor | None = None, **more: Any
    ) -> Tensor:
        if hidden_states.shape[1] not in self._sizes:
            unwatched: Tensor = self._before(attention, hidden_states, encoder_hidden_states, **more)
            return unwatched
        context = hidden_states if encoder_hidden_states is None else encoder_hidden_states
        query, key, value = attention.to_q(hidden_states), attention.to_k(context), attention.to_v(context)
        query, key, value = (attention.head_to_batch_dim(x) for x in (query, key, value))
        shares = torch.softmax((query @ key.mT).float() * attention.scale, dim=-1)
        seen = shares.reshape(len(hidden_states), -1, *shares.shape[1:]).mean(dim=1)
        (self._maps.cross if self._cross else self._maps.self).append(seen)
        mixed = attention.batch_to_head_dim(shares.to(value.dtype) @ value)
        for layer in attention.to_out:
            mixed = layer(mixed)
        return torch.as_tensor(mixed)
