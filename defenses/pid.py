"""PID, prompt-independent defense (Li et al., ICML 2024): move what the VAE sees, whatever the prompt will be.

Idea: fine-tuning prompts are unknown, but the encoder is the same for all: push its mean and its log-variance away
from those of the clean photo.
Attacks: fine-tuning, through the VAE alone. Published budget: 12.75. Cost per photo: no UNet pass; as many passes of
the encoder as steps.

Different from the released code: the clean latents are computed once, `step` is obeyed (there, the flag is ignored),
and all photos go in one batch.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from torch import Tensor

from bench.core.ranges import Count, StepLevels
from defenses import Context
from defenses.adaptive import Adaptive
from defenses.objectives import latent_shift
from defenses.pgd import pgd, random_start


@dataclass(frozen=True)
class Pid(Adaptive):
    """PID: push the mean and the variance of the VAE's latents away.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        steps: steps of the cloak (published: 1000).
        step: size of a step in grey levels (published: 1).
    """

    paper: ClassVar[str] = "ICML 2024, arXiv 2406.15305"
    loop: ClassVar[str] = "steps"

    preset: str = "auto"
    steps: Count | None = None
    step: StepLevels = 1.0

    presets: ClassVar[dict[str, dict[str, Any]]] = {"published": {"steps": 1000}, "facelet": {"steps": 200}}

    def evaluations(self, turns: int) -> float:
        return turns  # of the VAE's encoder

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        start = random_start(photos, context.budget, context.generator)
        shift = self.treated(latent_shift(context.surrogates[0], photos), context.generator)
        steps = int(self.steps or 0)
        return pgd(start, photos, shift, context.budget, self.step, steps, progress=context.progress)
