"""The project's folder, and what attackers and defenders are given in tests."""

from __future__ import annotations

from functools import partial
from pathlib import Path

from torch import Tensor

from attacks import FitContext
from bench.core.seeding import generator
from bench.core.types import Budget
from bench.models.diffusion.base import DiffusionModel, Posterior
from bench.runner.stages.surrogate import tuned
from defenses import Context

ROOT = Path(__file__).parents[2]


def fit_context(seed: int = 0) -> FitContext:
    """What an attacker has, but for class pictures, which none of these recipes wants."""

    def nobody(base: DiffusionModel, count: int) -> Posterior:
        raise AssertionError("no class pictures are wanted here")

    return FitContext(generator(seed, "fit"), nobody)


def defend_context(*bases: DiffusionModel, photos: Tensor, levels: float = 8, seed: int = 0) -> Context:
    """What a defender has, with the photos as their own reference, but for class pictures, as above."""

    def nobody(base: DiffusionModel, count: int) -> Posterior:
        raise AssertionError("no class pictures are wanted here")

    return Context(list(bases), photos, Budget(levels), generator(seed), nobody, partial(tuned, seed=seed))
