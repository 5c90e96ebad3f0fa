"""PyTorch, imported when it is first used: planning a run asks methods for their settings, and computes nothing.

In place of `import torch`, `import torch.nn.functional as F` and `from torch import Tensor`, in modules whose classes
do not derive from PyTorch's. Keys do not tell the difference (`bench.core.code_version`), and neither does
`torch.compile`, but for a `no_grad` inside of what is compiled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import torch as torch
    from torch import Tensor as Tensor
    from torch.nn import functional as functional
else:
    from contextlib import ContextDecorator
    from importlib import import_module
    from types import ModuleType
    from typing import Any

    class _NoGrad(ContextDecorator):
        """`torch.no_grad`, also as a decorator, which would need PyTorch when a module is imported."""

        def __enter__(self) -> None:
            self._open = import_module("torch").no_grad()
            self._open.__enter__()

        def __exit__(self, *error: object) -> None:
            self._open.__exit__(*error)

        def _recreate_cm(self) -> _NoGrad:
            return _NoGrad()  # every call of a decorated function has its own

    class _Deferred(ModuleType):
        def __getattr__(self, name: str) -> Any:
            value = getattr(import_module(self.__name__), name)
            setattr(self, name, value)
            return value

    torch, functional = _Deferred("torch"), _Deferred("torch.nn.functional")
    torch.no_grad = _NoGrad
    Tensor = Any  # for annotations, and nothing else
