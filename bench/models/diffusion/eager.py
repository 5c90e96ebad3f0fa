"""A UNet as it is: for a while neither compiled nor computed a second time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def eager(unet: Any, again: bool = False) -> Iterator[None]:
    """Until the context ends, compute a UNet plainly, whatever `model.compile` and `model.memory` say.

    Whoever looks inside needs that: hooks set after compiling are passed over, other attention processors would have
    the whole UNet compiled anew at every look, and with gradient checkpointing all of it is computed again when nobody
    looks any more. Who goes on looking until gradients are there may have it computed `again`.
    """
    compiled, checkpointed = unet._compiled_call_impl, unet.is_gradient_checkpointing and not again
    unet._compiled_call_impl = None
    if checkpointed:
        unet.disable_gradient_checkpointing()
    try:
        yield
    finally:
        unet._compiled_call_impl = compiled
        if checkpointed:
            unet.enable_gradient_checkpointing()
