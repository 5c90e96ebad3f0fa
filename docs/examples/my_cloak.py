from dataclasses import dataclass

from torch import Tensor

from bench.core.ranges import Count, StepLevels
from defenses import DEFENSES, Context, Defense
from defenses.pgd import pgd


@DEFENSES.register("my_cloak")
@dataclass(frozen=True)
class MyCloak(Defense):
    """My cloak: raise the denoising loss of the base as it is."""

    steps: Count = 50
    step: StepLevels = 1.0

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base = context.surrogates[0]
        condition = base.condition(["a photo of sks person"]).expand(len(photos))

        def loss(candidates: Tensor) -> Tensor:
            latents = base.encode(candidates, context.generator)
            return base.denoising_errors(latents, condition, context.generator).mean()

        return pgd(photos, photos, loss, context.budget, self.step, self.steps)
