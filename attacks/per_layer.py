"""Extended textual conditioning (P+, Voynov et al. 2023, arXiv 2303.09522): each cross-attention reads its own prompt.

A text encoder reads every prompt once per layer, each time with other vectors for the new word, and hands the layers
what it read side by side: hidden states are (n, layers x tokens, dim), of which each layer takes its part. All hooks,
so that the networks stay as they are and taking them out is exact.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.hooks import RemovableHandle


def cross_attentions(unet: nn.Module) -> list[nn.Module]:
    """The layers that read the prompt, in the order of the network's modules."""
    return [module for module in unet.modules() if getattr(module, "is_cross_attention", False)]


def read_by_layer(encoder: nn.Module, first: int, vectors: int, layers: int) -> list[RemovableHandle]:
    """A text encoder reads prompts once per layer, and lays the hidden states of a prompt side by side.

    Args:
        encoder: of transformers.
        first: id of the first token of the new word; those of the second layer's begin at `first + vectors`.
        vectors: tokens of the word.
        layers: how many.
    """

    def once_each(_: nn.Module, arguments: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
        ids, *others = arguments
        shift = vectors * torch.arange(layers, device=ids.device).repeat(len(ids))[:, None]
        many = ids.repeat_interleave(layers, dim=0)
        return (many + shift * (many >= first), *others)

    def side_by_side(value: Any) -> Any:
        """What was read layer by layer, (n x layers, ...), for each prompt: states together, pooled ones as a mean."""
        if not isinstance(value, Tensor):
            return None if value is None else tuple(map(side_by_side, value))
        parts = value.reshape(-1, layers, *value.shape[1:])
        return parts.mean(dim=1) if parts.ndim == 3 else parts.flatten(1, 2)

    def together(_: nn.Module, __: tuple[Tensor, ...], output: Mapping[str, Any]) -> Any:
        made: Any = type(output)
        return made(**{name: side_by_side(value) for name, value in output.items()})

    return [encoder.register_forward_pre_hook(once_each), encoder.register_forward_hook(together)]


def attend_by_layer(unet: nn.Module) -> list[RemovableHandle]:
    """Each cross-attention takes its part of the hidden states."""
    layers = cross_attentions(unet)

    def hook(place: int) -> Any:
        def own(_: nn.Module, arguments: tuple[Tensor, ...], named: dict[str, Any]) -> Any:
            states = named["encoder_hidden_states"].chunk(len(layers), dim=1)
            return arguments, named | {"encoder_hidden_states": states[place]}

        return own

    return [layer.register_forward_pre_hook(hook(place), with_kwargs=True) for place, layer in enumerate(layers)]
