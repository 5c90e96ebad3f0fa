"""How surrogates change along the way: tuned beforehand, or in turns with the cloak, as an attacker will."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from bench.config.prompts import Caption
from bench.core.deferred import Tensor, torch
from bench.core.ranges import Count, Decay, Rate, Several, StepLevels, Weight
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.finetuning import finetune
from bench.models.diffusion.latents import Posterior
from bench.models.diffusion.recipe import Recipe
from defenses import PHOTOS, Context
from defenses.adaptive import Adaptive

Move = Callable[[DiffusionModel, Tensor], Tensor]
"""Some steps of the cloak against a surrogate that has just learned the person."""


@dataclass(frozen=True)
class Learner(Adaptive):
    """Base class of the defenses whose surrogates learn as DreamBooth does.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and the published values for all others.
        learning_rate: AdamW learning rate of the surrogate (published: 5e-7, made for Stable Diffusion).
        weight_decay: AdamW weight decay.
        prior_weight: weight of the prior-preservation loss (published: 1); 0 leaves it out.
        class_count: pictures of other people for the prior loss (published: 200).
        prompt: what the surrogate is taught to call the person.
        class_prompt: what it calls people in general.
    """

    preset: str = "auto"
    learning_rate: Rate | None = None
    weight_decay: Decay = 1e-2
    prior_weight: Weight | None = None
    class_count: Several | None = None
    prompt: Caption = "a photo of sks person"
    class_prompt: Caption = "a photo of person"

    def learning(self, steps: int, batch: int) -> float:
        """UNet passes a photo of so many fine-tuning steps; see `Defense.evaluations`."""
        return steps * batch / PHOTOS * (2 if self.prior_weight else 1)

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.prior_weight and " ".join(self.prompt.split()) == " ".join(self.class_prompt.split()):
            raise ValueError("prompt and class_prompt must differ, or the person learns to be anybody")


@dataclass(frozen=True)
class AlternatingDefense(Learner):
    """Base class of ASPL and of those that follow its loop; see `Learner` for what is not listed.

    Attributes:
        rounds: outer rounds (published: 50).
        surrogate_steps: fine-tuning steps per round, on the clean and again on the cloaked photos (published: 3).
        batch: photos per fine-tuning step, in turn (released code: 1); 0 for all at once.
        pgd_steps: steps of the cloak per round (published: 6).
        step: size of a cloak step in grey levels (published: 0.64).
    """

    rounds: Count | None = None
    surrogate_steps: Several = 3
    batch: Several | None = None
    pgd_steps: Count = 6
    step: StepLevels | None = None

    presets: ClassVar[Mapping[str, Mapping[str, Any]]] = {
        "antidb": {
            "rounds": 50,
            "batch": 1,
            "step": 0.64,
            "learning_rate": 5e-7,
            "prior_weight": 1.0,
            "class_count": 200,
        },
        "facelet": {
            "rounds": 20,
            "batch": 0,
            "step": 1.6,
            "learning_rate": 1e-4,
            "prior_weight": 0.0,
            "class_count": 0,
        },
    }

    def learning_of_a_round(self) -> float:
        """UNet passes a photo that a round takes for fine-tuning, on the clean and on the cloaked photos."""
        return self.learning(2 * self.surrogate_steps, self.batch or PHOTOS)

    def in_turns(self, photos: Tensor, context: Context, move: Move, copies: bool = True) -> Tensor:
        """`alternate` with these settings."""
        recipe = Recipe.of(self, steps=self.surrogate_steps, batch=self.batch or len(photos))
        return alternate(photos, context, recipe, int(self.rounds or 0), move, copies)


def learn(
    base: DiffusionModel,
    photos: Tensor,
    recipe: Recipe,
    context: Context,
    others: Posterior | None = None,
    text_encoder: bool = True,
    start: int = 0,
) -> None:
    """A surrogate learns from photos (m, 3, h, w), in place, and is frozen again.

    Args:
        base: the surrogate.
        photos: what it learns from.
        recipe: how.
        context: randomness.
        others: class pictures for the prior-preservation loss, from `class_posterior`.
        text_encoder: whether the text encoder learns too.
        start: how many photos earlier fine-tuning have taken.
    """
    with torch.no_grad():
        latents = base.posterior(photos)
    finetune(base, base.parameters(text_encoder), latents, recipe, context.generator, others, start=start)
    base.freeze()


def class_posterior(base: DiffusionModel, recipe: Recipe, context: Context) -> Posterior | None:
    """Latents of class pictures for the prior-preservation loss, if the recipe wants it."""
    with torch.no_grad():
        return context.class_latents(base, recipe.class_count) if recipe.wants_class_images else None


@dataclass
class _Pair:
    """A surrogate that learns from the cloak, and its copy, or itself, that learns from clean photos each round."""

    base: DiffusionModel
    student: DiffusionModel
    clean: Posterior
    class_images: Posterior | None


def alternate(photos: Tensor, context: Context, recipe: Recipe, rounds: int, move: Move, copies: bool = True) -> Tensor:
    """ASPL: surrogates and cloak learn in turns (Anti-DreamBooth, Sec. 4.3, Alg. 1).

    Each round, a copy of the surrogate learns the person from the reference photos, the cloak is moved against that
    copy, and the surrogate itself learns from the cloaked photos. With several surrogates (E-ASPL) each makes
    its round from the same cloak, learns from its own result, and the results are averaged.

    Args:
        photos: (n, 3, h, w) in [0, 1], to be cloaked.
        context: all its surrogates take part, and are changed.
        recipe: fine-tuning on the clean and again on the cloaked photos, each round; the next round goes on with the
            photos that come next.
        rounds: how many.
        move: the cloak's part; the student it is given is frozen.
        copies: false lets the surrogate itself learn from the reference photos, as in DisDiff's released code.

    Returns:
        (n, 3, h, w), the cloaked photos.
    """
    pairs = []
    for base in context.surrogates:
        with torch.no_grad():
            clean = base.posterior(context.reference)
        student = base.clone() if copies else base
        pairs.append(_Pair(base, student, clean, class_posterior(base, recipe, context)))
    cloaked = photos
    for done in range(rounds):
        start = done * recipe.steps * recipe.batch
        results = [_round(pair, cloaked, start, recipe, context, move) for pair in pairs]
        cloaked = results[0] if len(results) == 1 else torch.stack(results).mean(dim=0)
        context.progress((done + 1) / rounds)
    return cloaked


def _round(pair: _Pair, cloaked: Tensor, start: int, recipe: Recipe, context: Context, move: Move) -> Tensor:
    student, base = pair.student, pair.base
    if student is not base:
        student.copy_weights_from(base)
    finetune(student, student.parameters(), pair.clean, recipe, context.generator, pair.class_images, start=start)
    student.freeze()
    moved = move(student, cloaked)
    learn(base, moved, recipe, context, pair.class_images, start=start)
    return moved
