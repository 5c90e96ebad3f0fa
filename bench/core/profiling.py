"""Counts the samples that pass through a diffusion model's networks: what work costs, whatever machine does it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

NETWORKS = {
    "diffusers.models.unets.unet_2d_condition.UNet2DConditionModel": "unet",
    "diffusers.models.controlnets.controlnet.ControlNetModel": "controlnet",
    "diffusers.models.autoencoders.vae.Encoder": "encoder",
    "diffusers.models.autoencoders.vae.Decoder": "decoder",
}
"""Class -> what the network is called. By name, so that nothing is imported just to count nothing."""

Passes = dict[str, dict[str, int]]
"""Network -> samples, by "plain" (alone), "inputs" (with gradients of what went in), "weights" (of the weights too)."""

_open: list[Passes] = []
"""Of the blocks that count at present, the innermost last: what is computed counts there alone."""


@contextmanager
def counting() -> Iterator[Passes]:
    """Count while the context lasts; one inside another one takes its own samples away from it.

    By hooks of PyTorch, which cost 0.2 % of a step of the embedded model. Before torch is imported nothing is counted.
    """
    torch, passes = sys.modules.get("torch"), Passes()
    if torch is None:
        yield passes
        return
    handle = None if _open else torch.nn.modules.module.register_module_forward_hook(_note)
    _open.append(passes)
    try:
        yield passes
    finally:
        _open.pop()
        if handle is not None:
            handle.remove()


_names: dict[type, str | None] = {}


def _note(module: Any, _: tuple[Any, ...], output: Any) -> None:
    """Called after every module's forward pass, so what most of them need is one look into a dictionary."""
    kind = type(module)
    if kind not in _names:
        bases = (f"{base.__module__}.{base.__qualname__}" for base in kind.__mro__)
        _names[kind] = next((NETWORKS[base] for base in bases if base in NETWORKS), None)
    network = _names[kind]
    if network is None:
        return
    first: Any = output[0] if isinstance(output, tuple) else getattr(output, "sample", output)
    first = first[0] if isinstance(first, list | tuple) else first
    how = "plain" if not first.requires_grad else "weights" if _trained(module) else "inputs"
    samples = _open[-1].setdefault(network, {"plain": 0, "inputs": 0, "weights": 0})
    samples[how] += len(first)


def _trained(module: Any) -> bool:
    """Whether most weights have gradients; those of a LoRA cost next to nothing."""
    sizes: list[tuple[int, bool]] = [(weight.numel(), weight.requires_grad) for weight in module.parameters()]
    return sum(size for size, trained in sizes if trained) > sum(size for size, _ in sizes) / 2
