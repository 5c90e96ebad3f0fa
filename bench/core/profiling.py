"""Counts the samples that pass through a diffusion model's networks: what work costs, whatever machine does it."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any

NETWORKS = {
    "diffusers.models.unets.unet_2d_condition.UNet2DConditionModel": "unet",
    "diffusers.models.transformers.transformer_sd3.SD3Transformer2DModel": "unet",
    "diffusers.models.transformers.transformer_flux.FluxTransformer2DModel": "unet",
    "diffusers.models.controlnets.controlnet.ControlNetModel": "controlnet",
    "diffusers.models.autoencoders.vae.Encoder": "encoder",
    "diffusers.models.autoencoders.vae.Decoder": "decoder",
}
"""Class -> what the network is called. What denoises is "unet" in all records, so that bases compare."""

Passes = dict[str, dict[str, int]]
"""Network -> samples, by "plain" (alone), "inputs" (with gradients of what went in), "weights" (of the weights too)."""

_open: list[Passes] = []
"""Of the blocks that count at present, the innermost last: what is computed counts there alone."""


@contextmanager
def counting() -> Iterator[Passes]:
    """Count while the context lasts; one inside another one takes its own samples away from it."""
    passes = Passes()
    _open.append(passes)
    try:
        yield passes
    finally:
        _open.pop()


def countable() -> None:
    """Have the calls of the networks' classes noted, once and for all; whoever makes a diffusion model asks for it.

    The call as a whole is noted, from outside. A hook would be inside of what `model.compile` compiles, and cut the
    UNet into a graph for every block.
    """
    for place, network in NETWORKS.items():
        module, _, name = place.rpartition(".")
        kind = getattr(importlib.import_module(module), name)
        if not hasattr(kind.__call__, "network"):
            kind.__call__ = _noted(kind.__call__, network)


def _noted(call: Callable[..., Any], network: str) -> Callable[..., Any]:
    @wraps(call)
    def noted(self: Any, *inputs: Any, **more: Any) -> Any:
        output = call(self, *inputs, **more)
        if _open:
            _note(network, self, output)
        return output

    noted.network = network  # type: ignore[attr-defined]
    return noted


def _note(network: str, module: Any, output: Any) -> None:
    first: Any = output[0] if isinstance(output, tuple) else getattr(output, "sample", output)
    first = first[0] if isinstance(first, list | tuple) else first
    how = "plain" if not first.requires_grad else "weights" if _trained(module) else "inputs"
    samples = _open[-1].setdefault(network, {"plain": 0, "inputs": 0, "weights": 0})
    samples[how] += len(first)


def _trained(module: Any) -> bool:
    """Whether most weights have gradients; those of a LoRA cost next to nothing, however many people have one."""
    weights = [weight for name, weight in module.named_parameters() if "lora_" not in name]
    sizes: list[tuple[int, bool]] = [(weight.numel(), weight.requires_grad) for weight in weights]
    return sum(size for size, trained in sizes if trained) > sum(size for size, _ in sizes) / 2
