"""The identity encoder of PhotoMaker (Li et al., CVPR 2024), version 1, at the width of any text encoder.

A CLIP vision tower makes one token of each photo; a small network fuses these with the states of the class word.
Module names are those of the official file (`id_encoder.*`), so it loads strictly; widths are read from the weights.
The official weights are for SDXL, where two projections are concatenated; here there is one, for one text encoder.
"""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from bench.errors import BenchError
from bench.models.adapters import Adapter


class PhotoMakerEncoder(CLIPVisionModelWithProjection):  # type: ignore[misc]
    """Photos to identity tokens, and identity tokens into text states."""

    def __init__(self, config: CLIPVisionConfig) -> None:
        super().__init__(config)
        self.fuse_module = FuseModule(config.projection_dim)

    def tokens(self, pixels: Tensor) -> Tensor:
        """(n, 3, s, s) preprocessed photos -> (n, width), one token each."""
        tokens: Tensor = self(pixels).image_embeds
        return tokens

    def fuse(self, states: Tensor, tokens: Tensor) -> Tensor:
        """Text states (..., n, width) of the class word, repeated, and tokens (n, width) -> fused (..., n, width)."""
        fused: Tensor = self.fuse_module(states, tokens.expand_as(states))
        return fused


class FuseModule(nn.Module):
    """Two residual networks on text state and identity token (section 3.2 of the paper)."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.mlp1 = _Mlp(2 * width, width)
        self.mlp2 = _Mlp(width, width)
        self.layer_norm = nn.LayerNorm(width)

    def forward(self, states: Tensor, tokens: Tensor) -> Tensor:
        fused = states + self.mlp1(torch.cat([states, tokens], dim=-1))
        normed: Tensor = self.layer_norm(fused + self.mlp2(fused))
        return normed


class _Mlp(nn.Module):
    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.layernorm = nn.LayerNorm(inputs)
        self.fc1 = nn.Linear(inputs, outputs)
        self.fc2 = nn.Linear(outputs, outputs)

    def forward(self, x: Tensor) -> Tensor:
        out: Tensor = self.fc2(nn.functional.gelu(self.fc1(self.layernorm(x))))
        return out


@lru_cache(maxsize=1)
def load_encoder(adapter: Adapter, width: int, device: str) -> PhotoMakerEncoder:
    """The encoder of an adapter, kept for the next person.

    Args:
        adapter: its files; `config.json` is the vision tower's `CLIPVisionConfig`.
        width: width of the base's text states, which the fused ones must have.
        device: where to run.

    Raises:
        BenchError: the weights are for another base, or of version 2.
    """
    weights = adapter.tensors().get("id_encoder", {})
    if any(key.startswith("qformer_perceiver.") for key in weights):
        raise BenchError(f"{adapter.weights} is PhotoMaker version 2.", "Give version 1 weights.")
    if "fuse_module.layer_norm.weight" not in weights:
        raise BenchError(
            f"{adapter.weights} has no PhotoMaker id_encoder.", "Give a file in the official layout of PhotoMaker."
        )
    found = len(weights["fuse_module.layer_norm.weight"])
    if found != width:
        raise BenchError(
            f"{adapter.weights} is for text states of width {found}; this base has {width}.",
            "Give PhotoMaker weights that were made for this base.",
        )
    encoder = PhotoMakerEncoder(CLIPVisionConfig.from_pretrained(adapter.folder, projection_dim=found))
    try:
        encoder.load_state_dict(weights)
    except RuntimeError as error:
        raise BenchError(
            f"{adapter.weights} does not fit the config.json beside it: {error}", "Give the two files of one release."
        ) from error
    encoder.to(device).eval().requires_grad_(False)
    return encoder
