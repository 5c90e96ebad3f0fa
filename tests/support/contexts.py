"""The project's folder, and what attackers and defenders are given in tests."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor

from attacks import FitContext
from bench.core.seeding import generator
from bench.core.types import Budget
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.latents import Posterior
from bench.runner.stages.surrogate import tuned
from defenses import Context

ROOT = Path(__file__).parents[2]


def no_class(base: DiffusionModel, count: int) -> Posterior:
    """Class pictures, where no recipe wants any."""
    raise AssertionError("no class pictures are wanted here")


def fit_context(seed: int = 0) -> FitContext:
    """What an attacker has, but for class pictures, which none of these recipes wants."""

    return FitContext(generator(seed, "fit"), no_class)


def defend_context(*bases: DiffusionModel, photos: Tensor, levels: float = 8, seed: int = 0) -> Context:
    """What a defender has, with the photos as their own reference, but for class pictures, as above."""

    return Context(list(bases), photos, Budget(levels), generator(seed), no_class, partial(tuned, seed=seed))
