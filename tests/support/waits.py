"""Counts what would make a GPU wait, on a machine without one: models on PyTorch's `meta` device stand for it.

A tensor there has no values, so whatever asks for one (`.item()`, `bool(tensor)`, `.cpu()`) is an error at once. What
is copied to it, and what is indexed by a tensor in the computer's memory, is counted.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

META = torch.device("meta")


class Waits(TorchDispatchMode):
    """Counts operations inside that would wait.

    Attributes:
        count: of them.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.count: int = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        self.count += _waits(func._schema.name, args, kwargs)
        return func(*args, **kwargs)


def _waits(name: str, args: Any, kwargs: dict[str, Any]) -> bool:
    if name == "aten::_to_copy":
        away = kwargs.get("device") is not None and torch.device(kwargs["device"]) != args[0].device
        return bool(away and not kwargs.get("non_blocking"))
    if name == "aten::copy_":
        return bool(args[0].device != args[1].device and not any(args[2:]))
    if name == "aten::index":
        return bool(args[0].device == META and any(isinstance(at, Tensor) and at.device != META for at in args[1]))
    return False
