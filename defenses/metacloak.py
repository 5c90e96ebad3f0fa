"""MetaCloak (Liu et al., CVPR 2024): a cloak against a whole pool of surrogates, and through random transforms.

Idea: a cloak made against one surrogate fits that one. Fine-tune on the clean photos and keep snapshots along the
way; then, from each snapshot again, let the surrogate learn the cloaked photos step by step while the cloak is moved
through random blur and mirroring.
Attacks: fine-tuning, with or without blur. Published budget: 11. Cost per photo: pool_steps + trials x snapshots x
unrolls x (pgd_steps + unroll_steps) UNet passes; a surrogate that learns from one of n photos at a time costs one n-th
of its steps, and with prior preservation twice as much: 17,300 as published.

Different from the released code: surrogates have fp32 master weights and learn from the photos in turn, not in random
order; one draw of the transforms serves all photos of a step; and a snapshot is kept on the CPU and loaded in place.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, ClassVar

import torch
from torch import Tensor

from bench.core.ranges import Count, Several, SomeShare
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.latents import Posterior
from bench.models.diffusion.parts import Snapshot
from bench.models.diffusion.recipe import Recipe
from defenses import PHOTOS, Context
from defenses.objectives import denoising_loss
from defenses.pgd import Objective, pgd
from defenses.surrogates import Learner, class_posterior, learn
from defenses.transforms import random_view


@dataclass(frozen=True)
class MetaCloak(Learner):
    """MetaCloak: one cloak against many stages of fine-tuning, and through transforms.

    Attributes:
        pool_steps: fine-tuning steps on the clean photos (published: 1000).
        snapshots: states kept, evenly from the first step to the last (published: 6).
        trials: passes over all snapshots (published: 4).
        unrolls: blocks of cloak and learning from each snapshot (published: 100).
        pgd_steps: steps of the cloak per block (published: 6).
        unroll_steps: fine-tuning steps on the cloaked photos per block (published: 2).
        batch: photos per fine-tuning step, in turn (released code: 1); 0 for all at once.
        step: size of a cloak step as a share of the budget (published: a tenth).
        transforms: move the cloak through random transforms.
        preset, learning_rate and others: see `defenses.surrogates.Learner`.
    """

    paper: ClassVar[str] = "CVPR 2024, arXiv 2311.13127"
    loop: ClassVar[str] = "unrolls"

    pool_steps: Several | None = None
    snapshots: Count = 6
    trials: Count | None = None
    unrolls: Count | None = None
    pgd_steps: Count = 6
    unroll_steps: Several = 2
    batch: Several | None = None
    step: SomeShare = 0.1
    transforms: bool = True

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {
            "pool_steps": 1000,
            "trials": 4,
            "unrolls": 100,
            "batch": 1,
            "learning_rate": 5e-7,
            "prior_weight": 1.0,
            "class_count": 200,
        },
        "facelet": {
            "pool_steps": 60,
            "trials": 1,
            "unrolls": 5,
            "batch": 0,
            "learning_rate": 1e-4,
            "prior_weight": 0.0,
            "class_count": 0,
        },
    }

    def evaluations(self, turns: int) -> float:
        pool = int(self.pool_steps or 0) // max(1, self.snapshots - 1) * (self.snapshots - 1)
        learned, batch = int(self.trials or 0) * self.snapshots * turns, self.batch or PHOTOS
        return self.learning(pool + learned * self.unroll_steps, batch) + learned * self.pgd_steps

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        surrogate = context.surrogates[0]
        recipe = Recipe.of(self, steps=self.unroll_steps, batch=self.batch or len(photos))
        others = class_posterior(surrogate, recipe, context)
        pool = self._pool(surrogate, photos, recipe, others, context)
        blocks = [state for _ in range(int(self.trials or 0)) for state in pool]
        cloaked, step, start = photos, self.step * context.budget.whole_levels, 0
        for done, state in enumerate(blocks):
            surrogate.load_snapshot(state)
            for _ in range(int(self.unrolls or 0)):
                loss = self._seen_loss(surrogate, len(photos), context.generator)
                cloaked = pgd(cloaked, photos, loss, context.budget, step, self.pgd_steps)
                learn(surrogate, cloaked, recipe, context, others, start=start)
                start += recipe.steps * recipe.batch
            context.progress((done + 1) / len(blocks))
        return cloaked

    def _pool(
        self, surrogate: DiffusionModel, photos: Tensor, recipe: Recipe, others: Posterior | None, context: Context
    ) -> list[Snapshot]:
        """The surrogate as loaded, and at even distances while it learns the clean photos."""
        recipe = replace(recipe, steps=int(self.pool_steps or 0) // max(1, self.snapshots - 1))
        pool = [surrogate.snapshot()]
        while len(pool) < self.snapshots:
            start = (len(pool) - 1) * recipe.steps * recipe.batch
            learn(surrogate, photos, recipe, context, others, start=start)
            pool.append(surrogate.snapshot())
        return pool

    def _seen_loss(self, surrogate: DiffusionModel, count: int, generator: torch.Generator) -> Objective:
        """The denoising loss of the photos as transformed anew at every step."""
        loss = denoising_loss(surrogate, self.prompt, count, generator)
        loss = self.treated(loss, generator)
        return (lambda photos: loss(random_view(photos, generator))) if self.transforms else loss
