"""What attacks do, by the code of their authors and by ours, on the same tiny weights.

    git clone https://github.com/tencent-ailab/IP-Adapter upstream/IP-Adapter
    git clone https://github.com/TencentARC/PhotoMaker upstream/PhotoMaker
    git clone https://github.com/huggingface/diffusers upstream/diffusers
    pip install einops
    python -m benchmarks.upstream upstream

Prints the largest difference of each pair: of pictures in [0, 1] whole samplers long, and, of those that train, of the
loss at every step and of the weights at the end. The exit status is 0 if none is above 1e-5.

The released code is read from the clones and changed only where it could not run here: where it says half precision or
states the sizes of the published networks, and, of the training scripts, where random numbers come from.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from attacks import ATTACKS
from bench.models.diffusion.base import DiffusionModel
from tests.support import tiny
from tests.support.contexts import fit_context
from tests.support.drawing import pictures

SCALE = 0.6
"""Weight of every adapter."""


@dataclass(frozen=True)
class Comparison:
    """One thing done twice.

    Attributes:
        reference: whose code.
        what: which method, on which type of model, and what of it is compared.
        difference: the largest, of all entries.
        effect: how far the same is from what it is without the method, so that a small difference means something.
    """

    reference: str
    what: str
    difference: float
    effect: float


class FullPrecision:
    """`torch` for a module that asks for half precision."""

    float16 = torch.float32

    def __getattr__(self, name: str) -> Any:
        return getattr(torch, name)


def imported(folder: Path, name: str) -> Any:
    """A module of a clone, which may look for a class where diffusers had it once."""
    import diffusers.pipelines.controlnet
    from diffusers.models.controlnets import multicontrolnet

    diffusers.pipelines.controlnet.MultiControlNetModel = multicontrolnet.MultiControlNetModel
    sys.modules["diffusers.pipelines.controlnet.multicontrolnet"] = multicontrolnet
    sys.path.insert(0, str(folder))
    try:
        return importlib.import_module(name)
    finally:
        sys.path.remove(str(folder))


def grouped(file: Path) -> dict[str, dict[str, Tensor]]:
    """An adapter's main file as the nested dictionaries of the official pickles."""
    groups: dict[str, dict[str, Tensor]] = {}
    for key, value in load_file(file).items():
        group, _, name = key.partition(".")
        groups.setdefault(group, {})[name] = value
    return groups


def drawn(base: DiffusionModel, family: str, name: str, **settings: Any) -> Tensor:
    """Our pictures of one person by one photo, in [0, 1]; the base is as before."""
    attack = ATTACKS.create(name, settings).resolved(family)
    attack.prepare(base)
    try:
        return pictures(attack, attack.fit(tiny.person(0, count=1), fit_context()))
    finally:
        attack.reset()


def difference(one: Tensor, other: Tensor) -> float:
    """The largest difference of two tensors of one shape."""
    assert one.shape == other.shape, (one.shape, other.shape)
    return float((one - other).abs().max())


@contextmanager
def replaced(place: Any, **values: Any) -> Iterator[None]:
    """Attributes of a module or object, replaced while the context lasts."""
    before = {name: getattr(place, name) for name in values}
    for name, value in values.items():
        setattr(place, name, value)
    try:
        yield
    finally:
        for name, value in before.items():
            setattr(place, name, value)
