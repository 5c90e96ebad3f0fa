"""Bases of the published sizes with random weights: they compute as fast as the real ones, and need no download."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import AutoencoderKL, DDPMScheduler, UNet2DConditionModel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

from bench.config.compute import Computing
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.loading import load_base
from bench.models.diffusion.sdxl import SdxlModel
from bench.models.diffusion.unet import UNetModel
from bench.models.weights.checkpoint import Checkpoint, locate
from bench.models.weights.files import ZOO
from benchmarks.work import UNETS, VAE

TOKENS = 77
TEXT: dict[str, dict[str, Any]] = {
    "text_encoder": {
        "hidden_size": 768,
        "intermediate_size": 3072,
        "num_hidden_layers": 12,
        "num_attention_heads": 12,
        "projection_dim": 768,
    },
    "text_encoder_2": {
        "hidden_size": 1280,
        "intermediate_size": 5120,
        "num_hidden_layers": 32,
        "num_attention_heads": 20,
        "projection_dim": 1280,
        "hidden_act": "gelu",
    },
}
"""The published configurations of SD 1.5's text encoder, which is SDXL's first, and of SDXL's second."""
SIZES = ("sd15", "sdxl")


def base_of(model: str, device: str, computing: Computing) -> DiffusionModel:
    """An embedded base, or one as large as `sd15` or `sdxl`."""
    if model not in SIZES:
        return load_base(locate(model, "zoo"), device, computing)
    parts: dict[str, Any] = {"scheduler": DDPMScheduler.from_pretrained(ZOO / "facelet-1" / "scheduler")}
    with torch.device(device):
        parts["vae"] = AutoencoderKL(**VAE)
        parts["unet"] = UNet2DConditionModel(**UNETS[model])
        for name, config in TEXT.items():
            second = name == "text_encoder_2"
            if second and model != "sdxl":
                break
            words = CLIPTokenizer.from_pretrained(ZOO / "facelet-1" / "tokenizer", model_max_length=TOKENS)
            kind = CLIPTextModelWithProjection if second else CLIPTextModel
            read = CLIPTextConfig(**config, max_position_embeddings=TOKENS, eos_token_id=words.eos_token_id)
            parts |= {name.replace("text_encoder", "tokenizer"): words, name: kind(read)}
    made = (SdxlModel if model == "sdxl" else UNetModel)(_nowhere(model), parts, torch.device(device), computing)
    made.remember()
    return made


def _nowhere(model: str) -> Checkpoint:
    return Checkpoint(model, Path(), "random", "random", {}, "")
