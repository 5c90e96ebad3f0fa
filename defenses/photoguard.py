"""PhotoGuard (Salman et al., "Raising the cost of malicious AI-powered image editing", ICML 2023).

Idea: make the model see something else. "encoder" (Sec. 3.1) pulls the latents to a target; "diffusion" (Sec. 3.2)
pulls what an edit makes of the photo to a target, through the whole chain of denoising steps.
Attacks: editing, and fine-tuning through the VAE. Published budget: 7.65 (encoder), 16 as an L2 ball in [-1, 1] or
12.75 (diffusion). Cost per photo: encoder none (only passes of the VAE); diffusion steps x draws x edit_steps UNet
passes: 8000 as published.

Different from the released notebooks: all photos of a person in one batch. Encoder: 200 steps (their demo's count)
instead of 1000, since the loss is flat long before. Diffusion: the edit is SDEdit with the surrogate itself, since
the bases of this benchmark are no inpainting models; the caption is empty as there, so guidance has no effect and is
not computed; and the change obeys the L-infinity budget of the benchmark, whichever way its steps go.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor

from bench.core.ranges import Count, SamplerSteps, SomeShare
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from bench.models.diffusion.devices import randn
from defenses import Context
from defenses.adaptive import Adaptive
from defenses.objectives import caption, latent_distance
from defenses.pgd import Objective, Size, annealed, pgd, random_start


@dataclass(frozen=True)
class PhotoGuard(Adaptive):
    """PhotoGuard: pull the latents (encoder) or an edit's result (diffusion) to a target.

    Attributes:
        variant: "encoder" or "diffusion".
        preset: cost of the diffusion variant: "auto" picks "facelet" for the embedded models, else "published".
        steps: steps of the cloak.
        step: size of the first step as a share of the budget (published: 2.55 grey levels of 7.65); falls linearly to
            a hundredth of it, as published. For "diffusion" the size of all steps (published: 0.765 of 12.75).
        target: "zero" pulls to the latent zero, "grey" to that of a grey picture. An edit is always pulled to grey.
        norm: "linf" steps by the gradient's sign, "l2" along the gradient. Published: "linf" for the encoder, "l2" for
            the diffusion variant.
        draws: noises over which the gradient of an edit is averaged (published: 10).
        edit_steps: denoising steps of an edit (published: 4).
        strength: share of the schedule to which an edit noises the photo.
    """

    paper: ClassVar[str] = "ICML 2023, arXiv 2302.06588"
    loop: ClassVar[str] = "steps"

    variant: Literal["encoder", "diffusion"] = "encoder"
    preset: str = "auto"
    steps: Count = 200
    step: SomeShare | None = None
    target: Literal["zero", "grey"] = "zero"
    norm: Literal["linf", "l2"] = "linf"
    draws: Count | None = None
    edit_steps: SamplerSteps = 4
    strength: SomeShare = 0.5

    presets: ClassVar[dict[str, dict[str, Any]]] = {"published": {"draws": 10}, "facelet": {"draws": 2}}

    @property
    def unet_only(self) -> str:
        return (
            "its edit follows the noise schedule of DDPM (defense.variant=diffusion)"
            if self.variant == "diffusion"
            else ""
        )

    def evaluations(self, turns: int) -> float:
        if self.variant == "encoder":
            return turns  # of the VAE's encoder
        return turns * int(self.draws or 1) * self.edit_steps

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        base, count, draws = context.surrogates[0], len(photos), 1
        step: Size
        if self.variant == "diffusion":
            closeness, draws = self._edit_closeness(base, count, context.generator), int(self.draws or 1)
            step = (0.06 if self.step is None else self.step) * context.budget.whole_levels
        else:
            closeness = self._latent_closeness(base, photos[:1])
            first = (1 / 3 if self.step is None else self.step) * context.budget.whole_levels
            step = annealed(first, first / 100)
        start = random_start(photos, context.budget, context.generator)
        return pgd(
            start,
            photos,
            self.treated(closeness, context.generator),
            context.budget,
            step,
            self.steps,
            norm=self.norm,
            draws=draws,
            progress=context.progress,
        )

    def _latent_closeness(self, base: DiffusionModel, like: Tensor) -> Objective:
        """Minus the mean squared distance of the latents to the target's."""
        with torch.no_grad():
            wanted = base.encode(torch.full_like(like, 0.5))
        distance = latent_distance(base, torch.zeros_like(wanted) if self.target == "zero" else wanted)
        return lambda photos: -distance(photos)

    def _edit_closeness(self, base: DiffusionModel, count: int, generator: torch.Generator) -> Objective:
        """Minus the mean squared distance of the edited photos to grey."""
        condition = caption(base, "", count)
        last = round(self.strength * (base.length - 1))
        timesteps = [round(last * (1 - done / self.edit_steps)) for done in range(self.edit_steps)]

        def closeness(photos: Tensor) -> Tensor:
            latents = base.encode(photos)
            return -(base.decode(edited(base, latents, condition, timesteps, generator)) - 0.5).square().mean()

        return closeness


def edited(
    base: DiffusionModel, latents: Tensor, condition: Condition, timesteps: list[int], generator: torch.Generator
) -> Tensor:
    """Latents noised to the first timestep and denoised over the others to the end (SDEdit, Meng et al. 2022).

    DDIM with eta = 1 (Song et al. 2021): every step but the last adds fresh noise. Differentiable.
    """
    at = [torch.full((len(latents),), t, device=base.device) for t in timesteps]
    now = base.add_noise(latents, randn(latents.shape, generator, base.device), at[0])
    for index, t in enumerate(at):
        clean = base.predict_x0(now, base.predict(now, t, condition), t)
        if index + 1 == len(at):
            break
        alpha_bar, following = base.alpha_bar(t), base.alpha_bar(at[index + 1])
        noise = (now - alpha_bar.sqrt() * clean) / (1 - alpha_bar).sqrt()
        variance = (1 - following) / (1 - alpha_bar) * (1 - alpha_bar / following)
        fresh = randn(latents.shape, generator, base.device)
        now = following.sqrt() * clean + (1 - following - variance).sqrt() * noise + variance.sqrt() * fresh
    return clean
