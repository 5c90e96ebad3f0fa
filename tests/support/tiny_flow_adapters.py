"""Tiny IP-Adapters for the tiny flow-matching transformers, random, with the names of the published files."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from tests.support.tiny import HIDDEN, SIDE, WIDTH, drawer, random_weights, resampler, vision_tower, write

TIME = 16
"""Numbers that a timestep is written in, before the resampler's embedding."""
RESAMPLED = 64
"""Width of the resampler, one head of 64."""


def sd3(folder: Path, transformer: Any, seed: int = 0) -> Path:
    """InstantX's layout: a resampler that knows the timestep, and a processor for each attention of the images."""
    draw, width = drawer(seed), int(transformer.inner_dim)
    shapes = {"latents": (1, 8, RESAMPLED)} | resampler(RESAMPLED, HIDDEN, width)
    shapes |= {"time_embedding.linear_1.weight": (RESAMPLED, TIME), "time_embedding.linear_1.bias": (RESAMPLED,)}
    shapes |= {"time_embedding.linear_2.weight": (RESAMPLED, RESAMPLED), "time_embedding.linear_2.bias": (RESAMPLED,)}
    for i in range(4):
        shapes |= {f"layers.{i}.2.1.weight": (4 * RESAMPLED, RESAMPLED), f"layers.{i}.2.1.bias": (4 * RESAMPLED,)}
    layers: dict[str, tuple[int, ...]] = {}
    for i in range(len(transformer.attn_processors)):
        layers |= {f"{i}.norm_ip.linear.weight": (2 * width, RESAMPLED), f"{i}.norm_ip.linear.bias": (2 * width,)}
        layers |= {f"{i}.to_{part}_ip.weight": (width, width) for part in "kv"}
        layers |= {f"{i}.norm_{part}.weight": (16,) for part in ("q", "k", "ip_k")}
    write(
        folder / "ip-adapter.safetensors",
        image_proj=random_weights(shapes, draw),
        ip_adapter=random_weights(layers, draw),
    )
    siglip_tower(seed).save_pretrained(folder / "image_encoder")
    return folder


def flux(folder: Path, transformer: Any, seed: int = 0) -> Path:
    """XLabs' layout: four tokens of CLIP's embedding, and keys and values for each block of two streams."""
    draw, width, seen = drawer(seed), int(transformer.inner_dim), 32
    shapes = {"proj.weight": (4 * WIDTH, seen), "proj.bias": (4 * WIDTH,), "norm.weight": (WIDTH,)}
    shapes |= {"norm.bias": (WIDTH,)}
    layers: dict[str, tuple[int, ...]] = {}
    for i in range(len(transformer.transformer_blocks)):
        for part in "kv":
            name = f"{i}.processor.ip_adapter_double_stream_{part}_proj"
            layers |= {f"{name}.weight": (width, WIDTH), f"{name}.bias": (width,)}
    write(
        folder / "ip_adapter.safetensors",
        ip_adapter_proj_model=random_weights(shapes, draw),
        double_blocks=random_weights(layers, draw),
    )
    vision_tower(seen, seed).save_pretrained(folder / "image_encoder")
    return folder


WRITERS: dict[str, Callable[..., Path]] = {"sd3": sd3, "flux": flux}


def siglip_tower(seed: int) -> Any:
    """A SigLIP that sees colours, as `vision_tower` does."""
    from transformers import SiglipVisionConfig, SiglipVisionModel

    config = SiglipVisionConfig(
        hidden_size=HIDDEN,
        intermediate_size=37,
        num_attention_heads=4,
        num_hidden_layers=2,
        image_size=SIDE,
        patch_size=8,
    )
    torch.manual_seed(seed)
    tower = SiglipVisionModel(config)
    with torch.no_grad():
        _patches(tower).mul_(10)
    return tower


def _patches(tower: Any) -> Tensor:
    (weight,) = (value for name, value in tower.named_parameters() if name.endswith("patch_embedding.weight"))
    return weight  # type: ignore[no-any-return]
