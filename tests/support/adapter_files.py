"""Adapters through their official files and back."""

from __future__ import annotations

from torch import Tensor

from bench.models.adapters.locate import load_ip_adapter
from bench.models.diffusion.base import DiffusionModel
from bench.zoo.train.precision import plain_attention

Layout = dict[str, dict[str, Tensor]]


def load(base: DiffusionModel, layout: Layout) -> None:
    load_ip_adapter(base.pipeline(), layout)
    plain_attention(base.unet)


def unload(base: DiffusionModel) -> None:
    pipeline = base.pipeline()
    pipeline.unload_ip_adapter()
    pipeline.unload_lora_weights()
