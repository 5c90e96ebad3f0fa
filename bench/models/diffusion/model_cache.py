"""Base models, each verified and loaded once per process, on first need."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import TYPE_CHECKING, ClassVar, Protocol, TypeVar

from bench.config.schema import FLOW, ModelSettings
from bench.core.errors import BenchError
from bench.core.gpus import gpus
from bench.models.diffusion.fingerprint import fingerprint
from bench.models.weights.checkpoint import Checkpoint, locate
from bench.models.weights.loadable import refuse_unhashed

if TYPE_CHECKING:
    from bench.models.diffusion.base import DiffusionModel


class Guest(Protocol):
    """What changes a base and gives it back: an attack.

    Attributes:
        stays: whether what it puts into the base serves whomever an equal guest comes for.
    """

    stays: ClassVar[bool]

    def prepare(self, base: DiffusionModel) -> None:
        """Take the base on loan."""

    def reset(self) -> None:
        """Give it back as it was."""


G = TypeVar("G", bound=Guest)


class Pool:
    """Keeps checkpoints and loaded bases. A base is lent out; whoever changes its weights restores them.

    Args:
        device: "auto", "cpu", "cuda", "cuda:1" or "mps".
    """

    def __init__(self, device: str = "auto") -> None:
        self._checkpoints: dict[ModelSettings, Checkpoint] = {}
        self._bases: dict[ModelSettings, DiffusionModel] = {}
        self._staying: tuple[ModelSettings, Guest] | None = None
        self._device = device

    @property
    def device(self) -> str:
        """The device in use; "auto" takes a GPU if there is one.

        Raises:
            BenchError: PyTorch has no such GPU.
        """
        if self._device.startswith(("auto", "cuda")):
            there = gpus()
            if self._device == "auto":
                self._device = "cuda" if there else "cpu"
            elif int(self._device.partition(":")[2] or 0) >= there:
                raise BenchError(f"device={self._device}, but PyTorch sees {there} GPUs.", "Try device=auto.")
        elif self._device.startswith(("mps", "xpu")):
            import torch

            kind, _, number = self._device.partition(":")
            module = getattr(torch, kind)
            if not module.is_available() or int(number or 0) >= module.device_count():
                raise BenchError(f"device={self._device}, but PyTorch sees no such device.", "Try device=auto.")
        return self._device

    def checkpoint(self, model: ModelSettings) -> Checkpoint:
        """The verified files of a model; loads no weights."""
        if model not in self._checkpoints:
            found = locate(model.name, model.source, model.revision, model.mirrors)
            refuse_unhashed(found.path, *sorted({(found.path / file).parent for file in found.files}))
            _check_family(model, found)
            self._checkpoints[model] = found
        return self._checkpoints[model]

    def fingerprint(self, model: ModelSettings) -> str:
        """What outputs that a model has part in depend on."""
        return fingerprint(self.checkpoint(model), model.computing)

    def base(self, model: ModelSettings) -> DiffusionModel:
        """The model as it was loaded."""
        self._clear()
        if model not in self._bases:
            from bench.models.diffusion.loading import load_base

            self._bases[model] = load_base(self.checkpoint(model), self.device, model.computing)
        return self._bases[model]

    @contextlib.contextmanager
    def lent(self, model: ModelSettings, guest: G) -> Iterator[G]:
        """A guest that has the base: an equal one that has stayed, with all that it has loaded, else this one.

        It stays, if it may, until a base is wanted for anything else.
        """
        if self._staying == (model, guest):
            guest = self._staying[1]
        else:
            guest.prepare(self.base(model))
        self._staying = model, guest
        try:
            yield guest
        except BaseException:
            self._clear()
            raise
        if not guest.stays:
            self._clear()

    def _clear(self) -> None:
        """Whoever has a base gives it back."""
        if self._staying is not None:
            _, guest = self._staying
            self._staying = None
            guest.reset()


def _check_family(model: ModelSettings, found: Checkpoint) -> None:
    """Whether a model's family is that of its files, as far as that decides what can be done with it.

    Raises:
        BenchError: it is not.
    """
    family = FLOW.get(found.architecture)
    if family is None and model.flow:
        raise BenchError(
            f"model.family={model.family}, but {found.path} has a {found.architecture}.",
            "Set model.family=sd, or sdxl for its type.",
        )
    if family not in (None, model.family):
        raise BenchError(
            f"model.family={model.family}, but {found.path} has a {found.architecture}.", f"Set model.family={family}."
        )
