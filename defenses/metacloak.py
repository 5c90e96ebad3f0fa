"""MetaCloak (Liu et al., CVPR 2024): a cloak against a whole pool of surrogates, and through random transforms.

Idea: a cloak made against one surrogate fits that one. Fine-tune on the clean photos and keep snapshots along the
way; then, from each snapshot again, let the surrogate learn the cloaked photos step by step while the cloak is moved
through random blur and mirroring.
Attacks: fine-tuning, with or without blur. Published budget: 11. Cost per photo: pool_steps + trials x snapshots x
unrolls x (pgd_steps + unroll_steps) UNet passes: about 17,000 as published.

Different from the released code: surrogates have fp32 master weights, one draw of the transforms serves all photos of
a step, and a snapshot is kept on the CPU and loaded in place.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch
from torch import Tensor

from attacks.training import Recipe, finetune
from bench.models.base import Base, Snapshot
from bench.presets import fill
from defenses import Context, Defense
from defenses.objectives import denoising_loss
from defenses.pgd import ascend
from defenses.surrogates import strangers, tuned
from defenses.transforms import random_view


@dataclass(frozen=True)
class MetaCloak(Defense):
    """MetaCloak: one cloak against many stages of fine-tuning, and through transforms.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        pool_steps: fine-tuning steps on the clean photos (published: 1000).
        snapshots: states kept, evenly from the first step to the last (published: 6).
        trials: passes over all snapshots (published: 4).
        unrolls: blocks of cloak and learning from each snapshot (published: 100).
        pgd_steps: steps of the cloak per block (published: 6).
        unroll_steps: fine-tuning steps on the cloaked photos per block (published: 2).
        step: size of a cloak step as a share of the budget (published: a tenth).
        learning_rate: AdamW learning rate of the surrogate (published: 5e-7).
        weight_decay: AdamW weight decay.
        prior_weight: weight of the prior-preservation loss.
        class_count: pictures of other people for the prior loss.
        transforms: move the cloak through random transforms.
        prompt: what the surrogate is taught to call the person.
        class_prompt: what it calls people in general.
    """

    paper: ClassVar[str] = "CVPR 2024, arXiv 2311.13127"

    preset: str = "auto"
    pool_steps: int | None = None
    snapshots: int = 6
    trials: int | None = None
    unrolls: int | None = None
    pgd_steps: int = 6
    unroll_steps: int = 2
    step: float = 0.1
    learning_rate: float | None = None
    weight_decay: float = 1e-2
    prior_weight: float | None = None
    class_count: int | None = None
    transforms: bool = True
    prompt: str = "a photo of sks person"
    class_prompt: str = "a photo of person"

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {
            "pool_steps": 1000,
            "trials": 4,
            "unrolls": 100,
            "learning_rate": 5e-7,
            "prior_weight": 1.0,
            "class_count": 200,
        },
        "facelet": {
            "pool_steps": 60,
            "trials": 1,
            "unrolls": 5,
            "learning_rate": 1e-4,
            "prior_weight": 0.0,
            "class_count": 0,
        },
    }

    def resolved(self, family: str) -> MetaCloak:
        return fill(self, self.presets, "facelet" if family == "facelet" else "published")

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        surrogate = context.surrogates[0]
        pool = self._pool(surrogate, photos, context)
        blocks = [state for _ in range(int(self.trials or 0)) for state in pool]
        cloaked = photos
        for done, state in enumerate(blocks):
            surrogate.load_snapshot(state)
            cloaked = self._unroll(surrogate, cloaked, photos, context)
            context.progress((done + 1) / len(blocks))
        return cloaked

    def _pool(self, surrogate: Base, photos: Tensor, context: Context) -> list[Snapshot]:
        """The surrogate as loaded, and at even distances while it learns the clean photos."""
        parts = max(1, self.snapshots - 1)
        lessons = Recipe.of(self, steps=int(self.pool_steps or 0) // parts, batch=len(photos))
        pool = [surrogate.snapshot()]
        while len(pool) < self.snapshots:
            tuned(surrogate, photos, lessons, context, in_place=True)
            pool.append(surrogate.snapshot())
        return pool

    def _unroll(self, surrogate: Base, cloaked: Tensor, photos: Tensor, context: Context) -> Tensor:
        """Cloak and surrogate in turns, from one snapshot."""
        lessons = Recipe.of(self, steps=self.unroll_steps, batch=len(photos))
        others = strangers(surrogate, lessons, context)
        step = self.step * context.budget.whole_levels
        for _ in range(int(self.unrolls or 0)):
            surrogate.freeze()
            loss = denoising_loss(surrogate, self.prompt, len(photos), context.generator)

            def seen(candidates: Tensor, loss: Any = loss) -> Tensor:
                view = random_view(candidates, context.generator) if self.transforms else candidates
                value: Tensor = loss(view)
                return value

            cloaked = ascend(cloaked, photos, seen, context.budget, step, self.pgd_steps)
            with torch.no_grad():
                learned = surrogate.posterior(cloaked)
            finetune(surrogate, surrogate.parameters(), learned, lessons, context.generator, others)
        return cloaked
