"""AntiPure (Yang et al., "Towards robust defense against customization via protective perturbation resistant to
diffusion-based purification", ICCV 2025): attack the purifier, not the fine-tuning.

Idea: whoever trains on cloaked photos purifies them first, by a little noise and denoising. At just those timesteps
raise the purifier's error, make it leave high frequencies in what it predicts (patch-wise frequency guidance), and make
it answer as if it were at another timestep (erroneous timestep guidance). What is purified is then distorted, and the
more rounds, the more.
Attacks: purification, and by it fine-tuning. Published budget: 16. Cost per photo: 2 x steps UNet passes (200 by our
number of steps), and steps passes of the VAE's decoder.

No code is published, and the paper was read in summaries. From these: the three terms and their weights, the sigmoid,
the quarter of the coefficients, the timesteps (1 to 10 of 1,000, those of GrIDPure) and the budget. Open there, and
ours: the number and size of the steps, the side of a patch, which timestep is the wrong one (any later than the
purifier's), and that squared distances are means over the values.

Different from the paper: its purifier is a model of pixels trained on ImageNet. Here it is what `grid_pure` purifies
with, the base without a caption, so the errors are those of latents, and the frequencies those of decoded photos.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, ClassVar

import numpy as np
import torch
from scipy.fft import dct
from torch import Tensor

from bench.core.ranges import Count, Range, SomeShare, Weight
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import to_device
from defenses import Context, Defense
from defenses.objectives import denoise
from defenses.pgd import Objective, pgd, share_of


@dataclass(frozen=True)
class AntiPure(Defense):
    """AntiPure: raise a purifier's error, the high frequencies it leaves, and its confusion of timesteps.

    Attributes:
        steps: steps of the cloak.
        step: size of a step as a share of the budget, at least one grey level.
        purifier_steps: the earliest timesteps, of which a purifier makes use (published: 10).
        patch: side of the patches in pixels, even.
        frequency_weight: of the high frequencies (published: 0.5).
        timestep_weight: of the confusion of timesteps (published: 0.5).
    """

    paper: ClassVar[str] = "ICCV 2025, arXiv 2509.13922"
    loop: ClassVar[str] = "steps"

    steps: Count = 100
    step: SomeShare = 0.0625
    purifier_steps: Annotated[int, Range(ge=1, le=999, unit="of 1000 timesteps")] = 10
    patch: Annotated[int, Range(ge=2, le=32, unit="pixels, even")] = 8
    frequency_weight: Weight = 0.5
    timestep_weight: Weight = 0.5

    def __post_init__(self) -> None:
        if self.patch % 2:
            raise ValueError(f"patch must be even, not {self.patch}")

    @property
    def unet_only(self) -> str:
        return "it follows the noise schedule of DDPM"

    def evaluations(self, turns: int) -> float:
        return 2 * turns

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        distortion = self._distortion(context.surrogates[0], photos, context.generator)
        step = share_of(context.budget, self.step)
        return pgd(photos, photos, distortion, context.budget, step, self.steps, progress=context.progress)

    def _distortion(self, base: DiffusionModel, photos: Tensor, generator: torch.Generator) -> Objective:
        """The paper's sum of three terms, at a random early timestep of each photo; mean over photos."""
        count = len(photos)
        with torch.no_grad():
            condition = base.unconditional().expand(count)

        def drawn(first: int, last: int) -> Tensor:
            return to_device(torch.randint(first, last, (count,), generator=generator), base.device)

        def distortion(candidates: Tensor) -> Tensor:
            seen = denoise(base, candidates, condition, generator, lambda: drawn(0, self.purifier_steps))
            wrong = drawn(self.purifier_steps, base.length)
            noise = base.predict_noise(seen.noised, seen.predicted, seen.timesteps)
            confused = base.predict_noise(seen.noised, base.predict(seen.noised, wrong, condition), wrong)
            purified = base.decode(base.predict_x0(seen.noised, seen.predicted, seen.timesteps))
            error = (noise - seen.noise).square().mean(dim=(1, 2, 3))
            rough = (base.alpha_bar(seen.timesteps).flatten() - 1).exp() * high_frequencies(purified, self.patch)
            alike = (-(confused - noise).square().mean(dim=(1, 2, 3))).exp()
            return (error + self.frequency_weight * rough + self.timestep_weight * alike).mean()

        return distortion


def high_frequencies(photos: Tensor, patch: int) -> Tensor:
    """(n,) in (0, 1), large where the patches' DCT coefficients are large that are high along both axes.

    Sigmoid of their mean, over patches and colours, of photos (n, 3, h, w) in [0, 1] taken as [-1, 1]. Orthonormal
    DCT-II, coefficients with their signs, as printed. A border that is no whole patch does not count.
    """
    waves = torch.from_numpy(dct(np.eye(patch), axis=0, norm="ortho")[patch // 2 :]).to(photos)
    blocks = (photos * 2 - 1).unfold(2, patch, patch).unfold(3, patch, patch)
    return torch.einsum("uy,ncabyx,vx->ncabuv", waves, blocks, waves).mean(dim=(1, 2, 3, 4, 5)).sigmoid()
