"""The identity encoder of PhotoMaker (Li et al., CVPR 2024), versions 1 and 2, at the width of any text states.

A CLIP vision tower makes tokens of each photo; a small network fuses these with the states of the class word. Version 1
projects what the tower sees to one token a photo. Version 2 makes two tokens of a face recogniser's embedding, which
look at what the tower sees. Module names are those of the official files (`id_encoder.*`), so they load strictly; the
version and all widths are read from the weights. The official ones are for SDXL; `visual_projection_2` belongs to its
second text encoder.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPVisionConfig, CLIPVisionModelWithProjection

from bench.core.errors import BenchError
from bench.models.adapters.locate import Adapter

HEAD = 128
"""Width of an attention head of version 2's resampler."""
DEPTH = 4
"""Its layers."""


class PhotoMakerEncoder(CLIPVisionModelWithProjection):  # type: ignore[misc]
    """Photos to identity tokens, and identity tokens into text states.

    Args:
        config: of the vision tower; its projection is as wide as the first text encoder.
        second: width of the second text encoder; 0 if there is none.
        perceiver: inputs, hidden width and tokens of version 2; None is version 1.
    """

    def __init__(
        self, config: CLIPVisionConfig, second: int = 0, perceiver: tuple[int, int, int] | None = None
    ) -> None:
        super().__init__(config)
        width = config.projection_dim + second
        if second:
            self.visual_projection_2 = nn.Linear(config.hidden_size, second, bias=False)
        self.fuse_module = FuseModule(width)
        self.needs_faces = perceiver is not None
        if perceiver:
            self.qformer_perceiver = FacePerceiver(*perceiver, width, config.hidden_size)

    def tokens(self, pixels: Tensor, faces: Tensor | None = None) -> Tensor:
        """Tokens (n * k, width) of n photos, those of the first photo first.

        Args:
            pixels: (n, 3, s, s) preprocessed photos.
            faces: (n, 512) raw embeddings of their faces, for version 2.
        """
        seen = self.vision_model(pixels)
        if self.needs_faces:
            assert faces is not None
            made: Tensor = self.qformer_perceiver(faces, seen.last_hidden_state)
            return made.flatten(0, 1)
        projections = [self.visual_projection]
        if hasattr(self, "visual_projection_2"):
            projections.append(self.visual_projection_2)
        return torch.cat([projection(seen.pooler_output) for projection in projections], dim=-1)

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


class FacePerceiver(nn.Module):
    """Version 2: a face's embedding becomes tokens that look at the photo, and what they see is added to them."""

    def __init__(self, inputs: int, hidden: int, count: int, width: int, seen: int) -> None:
        super().__init__()
        self._shape = (count, width)
        self.token_proj = nn.Sequential(nn.Linear(inputs, hidden), nn.GELU(), nn.Linear(hidden, count * width))
        self.token_norm = nn.LayerNorm(width)
        self.perceiver_resampler = _Resampler(width, seen)

    def forward(self, faces: Tensor, seen: Tensor) -> Tensor:
        """(n, 512) embeddings and (n, patches, hidden) states of the vision tower -> (n, k, width) tokens."""
        tokens = self.token_norm(self.token_proj(faces).unflatten(-1, self._shape))
        looked: Tensor = tokens + self.perceiver_resampler(tokens, seen)
        return looked


class _Resampler(nn.Module):
    def __init__(self, width: int, seen: int) -> None:
        super().__init__()
        self.proj_in = nn.Linear(seen, width)
        self.layers = nn.ModuleList(nn.ModuleList([_Attention(width), _feed_forward(width)]) for _ in range(DEPTH))
        self.proj_out = nn.Linear(width, width)
        self.norm_out = nn.LayerNorm(width)

    def forward(self, tokens: Tensor, seen: Tensor) -> Tensor:
        seen = self.proj_in(seen)
        layers: Any = self.layers
        for attention, feed_forward in layers:
            tokens = tokens + attention(tokens, seen)
            tokens = tokens + feed_forward(tokens)
        out: Tensor = self.norm_out(self.proj_out(tokens))
        return out


class _Attention(nn.Module):
    """Tokens look at what the tower sees, and at one another."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(width), nn.LayerNorm(width)
        self.to_q = nn.Linear(width, width, bias=False)
        self.to_kv = nn.Linear(width, 2 * width, bias=False)
        self.to_out = nn.Linear(width, width, bias=False)

    def forward(self, tokens: Tensor, seen: Tensor) -> Tensor:
        seen, tokens = self.norm1(seen), self.norm2(tokens)
        keys, values = self.to_kv(torch.cat([seen, tokens], dim=1)).chunk(2, dim=-1)
        heads = [x.unflatten(-1, (-1, HEAD)).transpose(1, 2) for x in (self.to_q(tokens), keys, values)]
        looked = F.scaled_dot_product_attention(*heads)
        out: Tensor = self.to_out(looked.transpose(1, 2).flatten(2))
        return out


def _feed_forward(width: int) -> nn.Sequential:
    inner = 4 * width
    return nn.Sequential(
        nn.LayerNorm(width), nn.Linear(width, inner, bias=False), nn.GELU(), nn.Linear(inner, width, bias=False)
    )


@lru_cache(maxsize=1)
def load_encoder(adapter: Adapter, width: int, device: str) -> PhotoMakerEncoder:
    """The encoder of an adapter, kept for the next person.

    Args:
        adapter: its files; `config.json` is the vision tower's `CLIPVisionConfig`, without it that of CLIP ViT-L/14,
            which the official files have.
        width: width of the base's text states, which the fused ones must have.
        device: where to run.

    Raises:
        BenchError: the weights are for another base.
    """
    weights = adapter.tensors().get("id_encoder", {})
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
    second = len(weights.get("visual_projection_2.weight", ()))
    encoder = PhotoMakerEncoder(_tower(adapter, found - second), second, _perceiver(weights, found))
    try:
        encoder.load_state_dict(dict(weights))
    except RuntimeError as error:
        raise BenchError(
            f"{adapter.weights} does not fit the config.json beside it: {error}", "Give the two files of one release."
        ) from error
    encoder.to(device).eval().requires_grad_(False)
    return encoder


def _tower(adapter: Adapter, projection: int) -> CLIPVisionConfig:
    if (adapter.folder / "config.json").exists():
        return CLIPVisionConfig.from_pretrained(adapter.folder, projection_dim=projection)
    return CLIPVisionConfig(
        hidden_size=1024,
        intermediate_size=4096,
        num_hidden_layers=24,
        num_attention_heads=16,
        patch_size=14,
        projection_dim=projection,
    )


def _perceiver(weights: Mapping[str, Tensor], width: int) -> tuple[int, int, int] | None:
    """Inputs, hidden width and tokens of version 2, from its weights; None for version 1."""
    first = weights.get("qformer_perceiver.token_proj.0.weight")
    if first is None:
        return None
    hidden, inputs = first.shape
    return inputs, hidden, len(weights["qformer_perceiver.token_proj.2.weight"]) // width
