"""How surrogates change along the way: tuned beforehand, or in turns with the cloak, as an attacker will."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from attacks.training import Recipe, finetune
from bench.models.base import Base, Posterior
from defenses import Context

Move = Callable[[Base, Tensor], Tensor]
"""Some steps of the cloak against a surrogate that has just learned the person."""


def tuned(
    base: Base, photos: Tensor, lessons: Recipe, context: Context, text_encoder: bool = True, in_place: bool = False
) -> Base:
    """A surrogate that has learned the person from photos (m, 3, h, w); frozen.

    Args:
        base: the surrogate.
        photos: what it learns from.
        lessons: how.
        context: randomness and class pictures.
        text_encoder: whether the text encoder learns too.
        in_place: train `base` itself, and not a clone of it.
    """
    student = base if in_place else base.clone()
    with torch.no_grad():
        latents = base.posterior(photos)
    weights = student.parameters(text_encoder)
    finetune(student, weights, latents, lessons, context.generator, strangers(base, lessons, context))
    student.freeze()
    return student


def strangers(base: Base, lessons: Recipe, context: Context) -> Posterior | None:
    """Latents of class pictures for the prior-preservation loss, if the recipe wants it."""
    if not lessons.wants_strangers:
        return None
    with torch.no_grad():
        return base.posterior(context.class_photos(base, lessons.class_count))


@dataclass
class _Pair:
    """A surrogate that learns from the cloak, and its copy that learns from clean photos each round."""

    base: Base
    student: Base
    clean: Posterior
    strangers: Posterior | None


def alternate(photos: Tensor, context: Context, lessons: Recipe, rounds: int, move: Move) -> Tensor:
    """ASPL: surrogates and cloak learn in turns (Anti-DreamBooth, Sec. 4.3, Alg. 1).

    Each round, a copy of the surrogate learns the person from the reference photos, the cloak is moved against that
    copy, and the surrogate itself learns from the cloaked photos. With several surrogates (E-ASPL) each makes
    its round from the same cloak, learns from its own result, and the results are averaged.

    Args:
        photos: (n, 3, h, w) in [0, 1], to be cloaked.
        context: all its surrogates take part, and are changed.
        lessons: fine-tuning on the clean and again on the cloaked photos, each round.
        rounds: how many.
        move: the cloak's part; the student it is given is frozen.

    Returns:
        (n, 3, h, w), the cloaked photos.
    """
    pairs = []
    for base in context.surrogates:
        with torch.no_grad():
            clean = base.posterior(context.reference)
        pairs.append(_Pair(base, base.clone(), clean, strangers(base, lessons, context)))
    cloaked = photos
    for done in range(rounds):
        results = [_round(pair, cloaked, lessons, context, move) for pair in pairs]
        cloaked = results[0] if len(results) == 1 else torch.stack(results).mean(dim=0)
        context.progress((done + 1) / rounds)
    return cloaked


def _round(pair: _Pair, cloaked: Tensor, lessons: Recipe, context: Context, move: Move) -> Tensor:
    student, base = pair.student, pair.base
    student.copy_weights_from(base)
    finetune(student, student.parameters(), pair.clean, lessons, context.generator, pair.strangers)
    student.freeze()
    moved = move(student, cloaked)
    with torch.no_grad():
        learned = base.posterior(moved)
    finetune(base, base.parameters(), learned, lessons, context.generator, pair.strangers)
    return moved
