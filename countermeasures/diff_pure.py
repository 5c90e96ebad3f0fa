"""DiffPure: drown the cloak in noise, and let a diffusion model of clean photos take both away.

Nie et al., "Diffusion models for adversarial purification", ICML 2022. The model works on pixels, so that a cloak which
was made through an autoencoder has nothing to hold on to; that cloaks against latent models do not survive this is the
finding of PDM-Pure (Xue and Chen), which takes DeepFloyd's gated models.

Different from the released code: DDPM's own reverse steps instead of a solver of the reverse SDE, and with `steps`
fewer of them, evenly spaced. The published models are of ImageNet, 256 px; ours is of faces.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, ClassVar

import numpy as np
import torch
from PIL import Image

from bench.core.errors import BenchError
from bench.core.images import resize, to_pixels, to_tensor
from bench.core.ranges import Range, SamplerSteps
from bench.core.types import Pixels
from bench.models import pixel_unet
from countermeasures.weighted import SHIPPED, Weighted


@dataclass(frozen=True)
class DiffPure(Weighted):
    """Noise on the pixels, and a pixel-space diffusion model that takes it away.

    Attributes:
        timestep: of 1,000 to which a photo is noised (published: 100 to 150).
        steps: of the way back; as many as `timestep` is one after another, as DDPM does.
        weights: "zoo" for the model that is shipped (faces of 128 px, timesteps below 300), a folder with a
            `UNet2DModel` and its scheduler's configuration, or its hub id ("google/ddpm-celebahq-256", which has seen
            the people of CelebA-HQ).
    """

    timestep: Annotated[int, Range(ge=1, le=999, unit="a timestep of 1,000")] = 100
    steps: SamplerSteps = 20
    weights: str = "zoo"

    setting: ClassVar[str] = "countermeasure.diff_pure.weights"
    network: ClassVar[str] = "the prior"
    shipped: ClassVar[Path | None] = SHIPPED / "prior"

    def __post_init__(self) -> None:
        if self.steps > self.timestep:
            raise ValueError(f"there are no {self.steps} steps below timestep {self.timestep}")

    @torch.no_grad()
    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        from diffusers import DDPMScheduler

        files, device = self.located, self.device
        network = pixel_unet.load(files.path, files.fingerprint, device)
        scheduler = DDPMScheduler.from_pretrained(files.path)
        return [self._purify(photo, network, scheduler, generator) for photo in photos]

    def _purify(self, photo: Pixels, network: Any, scheduler: Any, generator: torch.Generator) -> Pixels:
        side = pixel_unet.side(network)
        own = to_tensor([resize(Image.fromarray(photo), side)]).to(network.device) * 2 - 1
        timesteps = np.linspace(self.timestep, 0, self.steps, endpoint=False).round().astype(int).tolist()
        scheduler.set_timesteps(timesteps=timesteps)
        noise = torch.randn(own.shape, generator=generator).to(own)
        noisy = scheduler.add_noise(own, noise, torch.tensor(timesteps[:1]))
        for t in scheduler.timesteps:
            said = pixel_unet.answer(network, noisy, t.to(network.device).expand(1))
            noisy = scheduler.step(said, t, noisy, generator=generator).prev_sample
        if not bool(noisy.isfinite().all()):
            raise BenchError("The model made a picture that is not finite.", "Use other weights.")
        return resize(Image.fromarray(to_pixels((noisy / 2 + 0.5).clamp(0, 1))[0]), photo.shape[0])
