"""From the computer's own memory to the device, and noise that is the same on every device."""

from __future__ import annotations

from collections.abc import Sequence

from bench.core.deferred import Tensor, torch

PINNED = ("cuda",)
"""Kinds of device that go on computing while pinned memory is copied to them; before other copies they finish first."""


def to_device(drawn: Tensor, device: torch.device) -> Tensor:
    """What was made in the computer's own memory, on the device; a GPU need not wait for it, nor it for the GPU."""
    if device.type in PINNED:
        return drawn.pin_memory().to(device, non_blocking=True)
    return drawn.to(device)


def randn(shape: Sequence[int], generator: torch.Generator, device: torch.device) -> Tensor:
    """Standard normal fp32 noise drawn on the CPU, so that the same seed gives the same noise on every device."""
    return to_device(torch.randn(tuple(shape), generator=generator, dtype=torch.float32), device)
