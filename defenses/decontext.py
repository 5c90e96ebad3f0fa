"""DeContext (Shen, Cui and Yang, "DeContext as defense: safe image editing in diffusion transformers", arXiv
2512.16625).

Idea: an in-context editor knows the person only as far as the picture that it makes attends to the photo beside it.
Make it attend elsewhere: lower the share of its attention that goes to the photo, while the picture is still noise
and in the blocks where most of it is taken over.
Attacks: editing in context (FLUX Kontext). Published budget: 12.75. Cost per photo: as many passes of the transformer
as steps, 800 as published, each with twice the tokens of a pass that only makes a picture.

The loss is the paper's: the mean over blocks, heads and places of the picture of the softmax's share on the photo's
tokens. The numbers are those of its released code: signed steps of 0.005 of [-1, 1] from the clean photo; pure noise as
the picture, one of the 20 timesteps nearest to noise; an instruction drawn anew at each step; the first 26 of FLUX's 38
blocks of one stream; the photo's latents as the encoder's mean; guidance 3.5.

Different from the released code: instructions are 18 of ours, of the six kinds of its 60; all photos of a person go in
one batch, each with a timestep and a noise of its own; the budget is that of the benchmark. Step1X-Edit, its other
editor, is no base of this benchmark.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.ranges import Count, SomeShare, StepLevels
from bench.models.diffusion.context_attention import attention_to_photo
from bench.models.diffusion.devices import randn, to_device
from bench.models.diffusion.flux import FluxModel
from defenses import Context
from defenses.adaptive import Adaptive
from defenses.objectives import caption
from defenses.pgd import Objective, pgd

GUIDANCE = 3.5
"""What the transformer is told."""
INSTRUCTIONS = (
    *("Let this person smile.", "Let this person look stern.", "Show this person crying."),
    *("Put glasses on this person.", "Give this person a straw hat.", "Wrap a red scarf around this person's neck."),
    *("Turn this person to the side.", "Let this person wave.", "Show this person with folded arms."),
    *("Make this person twenty years older.", "Give this person short hair.", "Give this person a beard."),
    *("Show this person at the seaside.", "Put this person into a busy street.", "Show this person in a library."),
    *("Show this person laughing, in a park.", "Give this person a hat and a stern look."),
    "A photo of this person.",
)
"""What editors might be asked: faces, things to wear, poses, looks, places, and of several kinds."""


@dataclass(frozen=True)
class DeContext(Adaptive):
    """DeContext: have an in-context editor look away from the photo.

    Attributes:
        steps: steps of the cloak (published: 800).
        step: size of a step in grey levels (published: 0.6375).
        noisiest: share of the schedule, from the noise, in which timesteps are drawn (published: 0.02).
        blocks: the first so many blocks of one stream (published: 26 of 38).
        through: see `Adaptive`.
    """

    paper: ClassVar[str] = "2025, arXiv 2512.16625"
    loop: ClassVar[str] = "steps"
    families: ClassVar[tuple[str, ...]] = ("flux",)

    steps: Count = 800
    step: StepLevels = 0.6375
    noisiest: SomeShare = 0.02
    blocks: Count = 26

    def evaluations(self, turns: int) -> float:
        return turns

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base = context.surrogates[0]
        if not isinstance(base, FluxModel):
            raise BenchError(f"decontext cannot look into {base.checkpoint.name}.", "Use model=kontext.")
        with attention_to_photo(base.transformer, self.blocks) as shares:
            objective = looking_away(base, shares, len(photos), self.noisiest, context.generator)
            return pgd(
                photos,
                photos,
                self.treated(objective, context.generator),
                context.budget,
                self.step,
                self.steps,
                progress=context.progress,
            )


def looking_away(
    base: FluxModel, shares: list[Tensor], count: int, noisiest: float, generator: torch.Generator
) -> Objective:
    """The share of its attention that the picture does not give to the photo, a mean over photos and blocks.

    Args:
        base: the editor.
        shares: what a pass of its transformer fills with the shares that it does give, from `attention_to_photo`.
        count: of photos.
        noisiest: share of the schedule, from the noise, in which timesteps are drawn.
        generator: of instructions, timesteps and noise, drawn in this order.
    """
    conditions = [caption(base, instruction, count) for instruction in INSTRUCTIONS]
    timesteps = max(1, round(noisiest * base.length))

    def elsewhere(photos: Tensor) -> Tensor:
        photo = base.encode(photos)
        condition = conditions[int(torch.randint(len(conditions), (), generator=generator))]
        before = to_device(torch.randint(timesteps, (count,), generator=generator), base.device)
        noise = randn(photo.shape, generator, base.device)
        base.predict(noise, base.length - 1 - before, condition, photo=photo, guidance=GUIDANCE)
        return 1 - torch.stack(shares).mean()

    return elsewhere
