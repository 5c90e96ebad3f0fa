"""The arithmetic of other authors' released defenses beside ours, on the same tiny weights and random numbers.

Most of those repositories carry no licence, so none of their code is here, nor is it run: each file says in plain
PyTorch, on the stock modules of diffusers and sharing nothing with `defenses`, what the released code computes.
`python -m benchmarks.peers --oracle` prints a table of all of it, and `tests/benchmarks/test_oracles.py` holds it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import nan
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from bench.core.types import Budget
from bench.models.diffusion.base import DiffusionModel
from defenses import DEFENSES, Context
from tests.support import tiny
from tests.support.contexts import no_class

LEVELS = 8
"""Budget of all cloaks, grey levels."""
AIM = 1e-5


@dataclass(frozen=True)
class Row:
    """One quantity, by the released arithmetic and by ours.

    Attributes:
        method: which defense.
        what: which quantity.
        released: its value there.
        ours: its value in our `variant=as_released`.
        difference: how far apart, as a share of the larger.
        otherwise: its value in our other variant; not a number if that is the same or has none.
        aim: what the difference must not exceed.
    """

    method: str
    what: str
    released: float
    ours: float
    difference: float
    otherwise: float = nan
    aim: float = AIM


def number(method: str, what: str, released: Tensor | float, ours: Tensor | float, otherwise: float = nan) -> Row:
    """A row of two numbers."""
    a, b = (float(torch.as_tensor(value).detach()) for value in (released, ours))
    return Row(method, what, a, b, abs(a - b) / max(abs(a), abs(b), 1e-30), otherwise)


def vectors(method: str, what: str, released: Tensor, ours: Tensor, otherwise: Tensor | None = None) -> Row:
    """A row of two gradients: their norms, and the norm of their difference."""
    a, b = float(released.norm()), float(ours.norm())
    apart = nan if otherwise is None else float(otherwise.norm())
    return Row(method, what, a, b, float((released - ours).norm()) / max(a, b, 1e-30), apart)


def cloaks(
    method: str, what: str, clean: Tensor, released: Tensor, ours: Tensor, otherwise: Tensor | None = None
) -> Row:
    """A row of two cloaks: their mean change in grey levels, and the share of values that differ.

    A signed step makes much of a gradient that is zero but for rounding, so a value in a thousand may differ.
    """
    a, b, c = (nan if x is None else 255 * float((x - clean).abs().mean()) for x in (released, ours, otherwise))
    return Row(method, what, a, b, float(((released - ours).abs() > 1e-5).float().mean()), c, aim=1e-3)


def slopes(losses: Callable[[Tensor], Sequence[Tensor]], x: Tensor) -> list[Tensor]:
    """The gradient of each loss with respect to photos."""
    x = x.clone().requires_grad_(True)
    return [torch.autograd.grad(loss, x, retain_graph=True)[0] for loss in losses(x)]


def photos(count: int = 2) -> Tensor:
    """(count, 3, 32, 32) coloured noise on exact 8-bit levels, in which the tiny detector sees a face."""
    draw = torch.Generator().manual_seed(3)
    return (0.4 + 0.5 * torch.rand(count, 3, tiny.SIDE, tiny.SIDE, generator=draw)).mul(255).round().div(255)


def attentive(root: Path, sharpness: float) -> DiffusionModel:
    """A tiny base whose cross-attention is so much sharper than a fresh one's, which attends to all tokens alike."""
    base = tiny.tiny_base(root / "base")
    with torch.no_grad():
        for name, weight in base.unet.named_parameters():
            if "attn2.to_q" in name:
                weight.mul_(sharpness)
    base.remember()
    return base


def context(base: DiffusionModel, clean: Tensor) -> Context:
    """What a defender has, with the random numbers of seed 0 and no class pictures."""
    return Context([base], clean, Budget(LEVELS), torch.Generator().manual_seed(0), no_class)


def protect(name: str, base: DiffusionModel, clean: Tensor, variant: str, **settings: Any) -> Tensor:
    """A cloak of ours; the base is as before."""
    defense = DEFENSES.create(name, {"variant": variant, **settings}).resolved("facelet")
    try:
        return defense.protect(clean.clone(), context(base, clean))
    finally:
        base.restore()
