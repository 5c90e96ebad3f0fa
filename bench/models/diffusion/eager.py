"""A denoiser as it is: for a while neither compiled nor computed a second time, so that one can look inside."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

from bench.core.deferred import Tensor


@contextmanager
def eager(denoiser: Any, again: bool = False) -> Iterator[None]:
    """Until the context ends, compute a denoiser plainly, whatever `model.compile` and `model.memory` say.

    Whoever looks inside needs that: hooks set after compiling are passed over, other attention processors would have
    all compiled anew at every look, and with gradient checkpointing all is computed again when nobody looks any more.
    Who goes on looking until gradients are there may have it computed `again`.
    """
    compiled, checkpointed = denoiser._compiled_call_impl, denoiser.is_gradient_checkpointing and not again
    denoiser._compiled_call_impl = None
    if checkpointed:
        denoiser.disable_gradient_checkpointing()
    try:
        yield
    finally:
        denoiser._compiled_call_impl = compiled
        if checkpointed:
            denoiser.enable_gradient_checkpointing()


@contextmanager
def outputs_of(
    denoiser: Any, layers: Iterable[Any], seen_as: Callable[[Any], Tensor] = lambda output: output
) -> Iterator[list[Tensor]]:
    """Record what layers of a denoiser make of their input, as it is computed.

    Args:
        denoiser: what is looked into.
        layers: modules in it.
        seen_as: what is recorded of an output.
    """
    seen: list[Tensor] = []
    hooks = [
        layer.register_forward_hook(lambda _layer, _inputs, output: seen.append(seen_as(output))) for layer in layers
    ]
    try:
        with eager(denoiser):
            yield seen
    finally:
        for hook in hooks:
            hook.remove()
