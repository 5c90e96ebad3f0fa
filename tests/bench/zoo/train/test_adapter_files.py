"""What the adapters' trainings write is what the stock loader reads: a round trip changes no tensor."""

from __future__ import annotations

import pytest
import torch
from diffusers.models.embeddings import IPAdapterPlusImageProjection
from torch import Tensor

from bench.models.diffusion.base import DiffusionModel
from bench.zoo.train.adapter import fresh_projections, projections
from bench.zoo.train.instantid import official
from bench.zoo.train.ip_adapter import fresh, image_proj, lora
from tests.support.adapter_files import load, unload


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        assert torch.equal(found[name], value), name


@pytest.mark.parametrize("rank", [0, 4])
def test_ip_adapter(base: DiffusionModel, rank: int) -> None:
    torch.manual_seed(0)
    layout = fresh(base.unet, 48, rank > 0, rank)
    layout["ip_adapter"] = {name: torch.randn_like(value) for name, value in layout["ip_adapter"].items()}
    wanted = {group: {name: v.clone() for name, v in tensors.items()} for group, tensors in layout.items()}
    try:
        load(base, layout)
        assert_same(image_proj(base.unet), wanted["image_proj"])
        assert_same(projections(base.unet) | lora(base.unet), wanted["ip_adapter"])
    finally:
        unload(base)


def test_resampler(base: DiffusionModel) -> None:
    torch.manual_seed(0)
    width = base.unet.config.cross_attention_dim
    resampler = IPAdapterPlusImageProjection(48, width, 64, depth=4, dim_head=64, heads=1, num_queries=3)
    layout = {"image_proj": official(resampler.state_dict()), "ip_adapter": fresh_projections(base.unet)}
    try:
        load(base, layout)
        loaded = base.unet.encoder_hid_proj.image_projection_layers[0].state_dict()
        assert_same(loaded, dict(resampler.state_dict()))
    finally:
        unload(base)


def test_a_new_ip_adapter_starts_from_the_text_projections(base: DiffusionModel) -> None:
    weights = base.unet.state_dict()
    first = next(name for name in base.unet.attn_processors if name.endswith("attn2.processor"))
    assert torch.equal(
        fresh_projections(base.unet)["1.to_k_ip.weight"], weights[first.replace("processor", "to_k.weight")]
    )
