"""Count what every method computes, and write `bench/runner/flops.json`.

    python -m benchmarks.work          # an hour on a core; goes on after what the file has

Methods run with their published settings on tiny models of Stable Diffusion's and FLUX's type with random weights:
passes do not depend on what the weights are. The cost of a pass, the parameters and what a training step keeps are
counted on the real architectures, on PyTorch's device without data.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any
from unittest.mock import patch

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from attacks import ATTACKS, FitContext
from bench.config.resolved_method import ResolvedMethod
from bench.core.profiling import Passes, counting
from bench.core.seeding import generator
from bench.core.types import Budget
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.latents import Posterior
from bench.runner.flops import FILE, comparable
from bench.runner.stages.surrogate import tuned
from defenses import DEFENSES, PHOTOS, Context
from tests.support import tiny, tiny_flow

UNETS: dict[str, dict[str, Any]] = {
    "sd15": {"sample_size": 64, "cross_attention_dim": 768, "attention_head_dim": 8},
    "sd21": {
        "sample_size": 64,
        "cross_attention_dim": 1024,
        "attention_head_dim": (5, 10, 20, 20),
        "use_linear_projection": True,
    },
    "sdxl": {
        "sample_size": 128,
        "cross_attention_dim": 2048,
        "attention_head_dim": (5, 10, 20),
        "use_linear_projection": True,
        "block_out_channels": (320, 640, 1280),
        "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        "transformer_layers_per_block": (1, 2, 10),
        "addition_embed_type": "text_time",
        "addition_time_embed_dim": 256,
        "projection_class_embeddings_input_dim": 2816,
    },
}
"""The published configurations, where they differ from diffusers' defaults."""
TRANSFORMERS: dict[str, dict[str, Any]] = {
    "sd35": {
        "num_layers": 24,
        "num_attention_heads": 24,
        "caption_projection_dim": 1536,
        "pos_embed_max_size": 384,
        "dual_attention_layers": tuple(range(13)),
        "qk_norm": "rms_norm",
    },
    "sd35-large": {
        "num_layers": 38,
        "num_attention_heads": 38,
        "caption_projection_dim": 2432,
        "pos_embed_max_size": 192,
        "qk_norm": "rms_norm",
    },
    "flux": {"guidance_embeds": True},
}
"""The same of transformers."""
VAE: dict[str, Any] = {
    "block_out_channels": (128, 256, 512, 512),
    "down_block_types": ("DownEncoderBlock2D",) * 4,
    "up_block_types": ("UpDecoderBlock2D",) * 4,
    "layers_per_block": 2,
    "latent_channels": 4,
}
SIXTEEN = {"latent_channels": 16, "use_quant_conv": False, "use_post_quant_conv": False}
"""Where the VAE of the transformers differs from that."""
TEXT = {"sd15": 123.1e6, "sd21": 340.4e6, "sdxl": 123.1e6 + 694.7e6}
TEXT |= {"sd35": TEXT["sdxl"], "sd35-large": TEXT["sdxl"], "flux": TEXT["sd15"]}
"""Parameters of the text encoders that an attacker may train."""
T5 = 4762.3e6
"""Parameters of the one that stays frozen."""


def methods(root: Path, base: DiffusionModel) -> Iterator[tuple[str, str, Any]]:
    """(stage, name, method) of all that compute with a base while they protect or fit, with published settings."""
    pack, adapter = str(tiny.pack(root / "pack")), str(tiny.ip_adapter(root / "adapter", base.unet))
    chosen: list[tuple[str, str, dict[str, Any]]] = [
        ("lora", "sd", {}),
        ("lora", "sd", {"preset": "antidb"}),
        ("lora", "sdxl", {}),
        ("textual_inversion", "sd", {}),
        ("textual_inversion", "sdxl", {}),
        ("dreambooth", "sd", {"preset": "hf"}),
        ("dreambooth", "sd", {"preset": "hf_te"}),
        ("dreambooth", "sd", {}),
        *((name, family, {}) for name in ("lora", "textual_inversion", "dreambooth") for family in ("sd3", "flux")),
    ]
    for name, family, settings in chosen:
        yield "fit", name, ATTACKS.create(name, settings).resolved(family)
    needs: dict[str, dict[str, Any]] = {
        "dladiff": {"recognisers": [pack], "sides": [8]},
        "disdiff": {"sides": [8]},
        "antidiffusion": {"sides": [8]},
        "idprotector_pgd": {
            "recognisers": [pack],
            "image_encoders": [f"{adapter}/image_encoder"],
            "photomaker": "none",
        },
        "adapter_shield": {"recognisers": [pack]},
        "idguardian": {"recognisers": [pack], "adapter": str(tiny.ip_adapter_plus_face(root / "plus", base.unet))},
        "faceshield": {"recognisers": [pack], "adapter": adapter, "sides": [8]},
    }
    names = [name for name in DEFENSES.names() if name not in ("none", "noise", "jpeg", "placebo", "precomputed")]
    for name in sorted(names, key=lambda name: name == "metacloak"):  # the longest last
        family = next(iter(DEFENSES.get(name).families), "sd")
        yield "protect", name, DEFENSES.create(name, needs.get(name, {})).resolved(family)


def count(stage: str, method: Any, base: DiffusionModel, photos: Tensor) -> Passes:
    """The passes of one method for one person; those that make class pictures, once per base, are not counted."""

    def class_latents(base: DiffusionModel, count: int) -> Posterior:
        with torch.no_grad():
            return base.posterior(torch.rand(count, 3, tiny.SIDE, tiny.SIDE, generator=generator("class")))

    with counting() as passes:
        if stage == "fit":
            method.prepare(base)
            method.fit(photos, FitContext(generator("fit"), class_latents))
            method.reset()
        else:
            learned = partial(tuned, seed=0)
            method.protect(photos, Context([base], photos, Budget(8), generator("protect"), class_latents, learned))
            base.restore()
    return passes


# --- the real networks, without weights -----------------------------------------------------------------------------


def network_costs() -> dict[str, dict[str, float]]:
    """Base -> FLOP of a forward pass of each network, parameters, and bytes that the UNet keeps per sample."""
    from diffusers import AutoencoderKL, ControlNetModel, UNet2DConditionModel

    found: dict[str, dict[str, float]] = {}
    with torch.device("meta"):
        vae = AutoencoderKL(**VAE)
        for name, config in UNETS.items():
            unet, side = UNet2DConditionModel(**config), config["sample_size"]
            sample, time = torch.randn(1, 4, side, side), torch.tensor(1.0)
            text = torch.randn(1, 77, config["cross_attention_dim"])
            more = {}
            if name == "sdxl":
                more = {"added_cond_kwargs": {"text_embeds": torch.randn(1, 1280), "time_ids": torch.randn(1, 6)}}
            net = ControlNetModel.from_unet(unet, load_weights_from_unet=False)
            picture = torch.randn(1, 3, 8 * side, 8 * side)
            found[name] = {
                "unet": _flops(unet, sample, time, text, **more),
                "controlnet": _flops(net, sample, time, text, picture, **more),
                "encoder": _flops(vae.encoder, picture),
                "decoder": _flops(vae.decoder, sample),
                "unet_parameters": _parameters(unet),
                "controlnet_parameters": _parameters(net),
                "vae_parameters": _parameters(vae),
                "text_parameters": TEXT[name],
                "kept_for_weights": kept_bytes(unet, True, sample, time, text, **more),
                "kept_checkpointed": checkpointed_bytes(unet, sample, time, text, **more),
                "kept_for_inputs": kept_bytes(unet, False, sample.requires_grad_(True), time, text, **more),
            }
    return found | _transformer_costs()


def _transformer_costs() -> dict[str, dict[str, float]]:
    """The same of transformers, at 1,024 px and with as much text as their pipelines read."""
    from diffusers import AutoencoderKL, FluxTransformer2DModel, SD3Transformer2DModel

    found: dict[str, dict[str, float]] = {}
    with torch.device("meta"):
        vae = AutoencoderKL(**VAE | SIXTEEN)
        for name, config in TRANSFORMERS.items():
            inputs: dict[str, Any] = {"timestep": torch.ones(1)}
            if name == "flux":
                network: Any = FluxTransformer2DModel(**config)
                sample, tokens = torch.randn(1, 4096, 64), 512
                inputs |= {
                    "guidance": torch.ones(1),
                    "txt_ids": torch.zeros(tokens, 3),
                    "img_ids": torch.zeros(4096, 3),
                }
            else:
                network = SD3Transformer2DModel(**config, joint_attention_dim=4096, pooled_projection_dim=2048)
                sample, tokens = torch.randn(1, 16, 128, 128), 77 + 256
            inputs |= {
                "hidden_states": sample,
                "encoder_hidden_states": torch.randn(1, tokens, 4096),
                "pooled_projections": torch.randn(1, network.config.pooled_projection_dim),
            }
            found[name] = {
                "unet": _flops(network, **inputs),
                "encoder": _flops(vae.encoder, torch.randn(1, 3, 1024, 1024)),
                "decoder": _flops(vae.decoder, torch.randn(1, 16, 128, 128)),
                "unet_parameters": _parameters(network),
                "vae_parameters": _parameters(vae),
                "text_parameters": TEXT[name],
                "frozen_parameters": T5,
                "kept_for_weights": kept_bytes(network, True, **inputs),
                "kept_checkpointed": checkpointed_bytes(network, **inputs),
                "kept_for_inputs": kept_bytes(
                    network, False, **inputs | {"hidden_states": sample.requires_grad_(True)}
                ),
            }
    return found


def _flops(network: nn.Module, *inputs: Any, **more: Any) -> float:
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        network(*inputs, **more)
    return float(counter.get_total_flops())


def _parameters(network: nn.Module) -> float:
    return float(sum(weight.numel() for weight in network.parameters()))


class _Fused(torch.autograd.Function):
    """What fused attention keeps: not the matrix of attention, which the plain kind on this device would."""

    @staticmethod
    def forward(context: Any, query: Tensor, key: Tensor, value: Tensor) -> Tensor:
        context.save_for_backward(query, key, value, made := torch.empty_like(query))
        return made


def _fused(query: Tensor, key: Tensor, value: Tensor, **_: Any) -> Tensor:
    """In place of PyTorch's attention."""
    made: Tensor = _Fused.apply(query, key, value)
    return made


def kept_bytes(network: nn.Module, trained: bool, *inputs: Any, **more: Any) -> float:
    """Bytes of fp32 activations that autograd keeps for gradients of the weights, or else of what went in."""
    network.requires_grad_(trained)
    known = {weight.untyped_storage()._cdata for weight in network.parameters()}
    kept: dict[int, Tensor] = {}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            kept.setdefault(storage._cdata, tensor)
        return tensor

    with (
        patch("torch.nn.functional.scaled_dot_product_attention", _fused),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        network(*inputs, **more)
    return float(sum(tensor.untyped_storage().nbytes() for tensor in kept.values()))


def checkpointed_bytes(network: Any, *inputs: Any, **more: Any) -> float:
    """The same for the weights' gradients, with gradient checkpointing (`model.memory=low`).

    Kept are what blocks were given, each tensor once, what is outside of them, and all of the largest block, which is
    computed again while its gradients are.
    """
    network.requires_grad_(True)
    known = {weight.untyped_storage()._cdata for weight in network.parameters()}
    kept, largest, inside = dict[int, int](), [0], list[dict[int, int]]()

    def note(tensor: Tensor, into: dict[int, int]) -> None:
        storage = tensor.untyped_storage()
        if storage._cdata not in known:
            into[storage._cdata] = storage.nbytes()

    def keep(tensor: Tensor) -> Tensor:
        note(tensor, inside[-1] if inside else kept)
        held.append(tensor)
        return tensor

    def block(function: Any, *given: Any) -> Any:
        for tensor in given:
            if isinstance(tensor, Tensor):
                note(tensor, kept)
                held.append(tensor)
        if inside:
            return function(*given)
        inside.append({})
        made = function(*given)
        largest[0] = max(largest[0], sum(inside.pop().values()))
        return made

    held: list[Tensor] = []  # or the addresses of freed ones would come again
    network.enable_gradient_checkpointing(block)
    with (
        patch("torch.nn.functional.scaled_dot_product_attention", _fused),
        torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor),
    ):
        network(*inputs, **more)
    network.disable_gradient_checkpointing()
    return float(sum(kept.values()) + largest[0])


def main() -> None:
    """Count what is not in the file yet, one method after another, and write it down after each."""
    known = json.loads(FILE.read_text())["counted"] if FILE.exists() else []
    networks = network_costs()
    with tempfile.TemporaryDirectory() as folder:
        base: DiffusionModel = tiny.tiny_base(Path(folder) / "base")
        transformer = tiny_flow.flux(Path(folder) / "flux")
        draw = torch.rand(PHOTOS, 3, tiny.SIDE, tiny.SIDE, generator=generator("photos"))
        photos = (0.4 + 0.5 * draw).mul(255).round().div(255)
        for stage, name, method in methods(Path(folder), base):
            settings = comparable(ResolvedMethod.of(name, method).settings)
            entry = {"stage": stage, "name": name, "settings": settings, "photos": PHOTOS}
            if any(all(other[key] == value for key, value in entry.items()) for other in known):
                continue
            known.append(entry | {"passes": count(stage, method, transformer if method.families else base, photos)})
            print(stage, name, json.dumps(known[-1]["passes"]), flush=True)
            FILE.write_text(json.dumps({"networks": networks, "counted": known}, indent=1) + "\n")


if __name__ == "__main__":
    main()
