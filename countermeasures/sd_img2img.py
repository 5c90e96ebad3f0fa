"""A little noise in latent space, and denoising: what any Stable Diffusion can do to a photo."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from bench.config.prompts import Caption
from bench.core.images import to_pixels, to_tensor
from bench.core.ranges import Guidance, SamplerSteps, SomeShare
from bench.core.types import Pixels
from countermeasures import Purifier

if TYPE_CHECKING:
    import torch

    from bench.models.diffusion.base import DiffusionModel


@dataclass(frozen=True)
class ImageToImage(Purifier):
    """Image-to-image with the attacker's base at low strength (SDEdit, Meng et al. 2022), as RID tests against.

    Attributes:
        strength: share of the noise schedule to go back.
        prompt: what is on the photo.
        steps: of the whole schedule; `strength` times as many are taken.
        guidance: guidance scale.
    """

    strength: SomeShare = 0.1
    prompt: Caption = "a photo of a person"
    steps: SamplerSteps = 50
    guidance: Guidance = 1.0

    def __post_init__(self) -> None:
        if self.strength * self.steps < 1:
            raise ValueError(f"strength {self.strength:g} of {self.steps} steps is not one step")

    @property
    def unet_only(self) -> str:
        return "its sampler is one of epsilon and velocity"

    def purify(self, photos: list[Pixels], generator: torch.Generator, base: DiffusionModel) -> list[Pixels]:
        import torch

        from bench.models.diffusion.devices import randn

        scheduler = base.pipeline().scheduler
        scheduler.set_timesteps(self.steps)
        first = self.steps - round(self.strength * self.steps)
        scheduler.set_begin_index(first)
        with torch.no_grad():
            wanted, empty = (c.expand(len(photos)) for c in (base.condition([self.prompt]), base.unconditional()))
            latents = base.encode(to_tensor(photos).to(base.device))
            noise = randn(latents.shape, generator, base.device)
            latents = scheduler.add_noise(latents, noise, scheduler.timesteps[first : first + 1])
            for t in scheduler.timesteps[first:]:
                now = t.to(base.device).expand(len(photos))
                answer = base.predict(latents, now, wanted)
                if self.guidance != 1:
                    free = base.predict(latents, now, empty)
                    answer = free + self.guidance * (answer - free)
                latents = scheduler.step(answer, t, latents).prev_sample
            return to_pixels(base.decode(latents))
