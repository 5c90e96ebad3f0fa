"""Train the prior of clean photos that `countermeasure=diff_pure` purifies with: an unconditional model on pixels.

`python -m bench.zoo.train.prior`. DDPM's loss (Ho et al. 2020, eq. 14) on views of the training photos, at the
timesteps below `top` alone: a purifier never goes further, and a network this small has no capacity to spare.
"""

from __future__ import annotations

import math
from pathlib import Path

import hydra
import torch
from diffusers import DDPMScheduler
from omegaconf import DictConfig
from torch import Tensor

from bench.models import pixel_unet
from bench.zoo.train.augment import take
from bench.zoo.train.loop import Part, Schedule, train
from bench.zoo.train.photos import Faces
from bench.zoo.train.precision import autocast, device

LOOKED_AT = 100
"""The timestep at which the log says how good it is."""
HELD = 64


class Prior(Part):
    """A pixel-space diffusion model.

    Args:
        faces: the training photos.
        width: of the network.
        top: the first timestep that it does not learn.
        compiled: compile the training steps; it needs a C++ compiler.
    """

    def __init__(self, faces: Faces, width: int, top: int, compiled: bool = False) -> None:
        self.module = pixel_unet.small(width)
        self._answering = torch.compile(self.module) if compiled else self.module
        self._scheduler, self._top = DDPMScheduler(), top
        self._pixels = faces.pixels
        self._train, self._held = (torch.from_numpy((faces.split == split).nonzero()[0]) for split in ("train", "held"))

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        rows = self._train[torch.randint(len(self._train), (count,), generator=random)]
        photos = take(self._pixels, rows).to(device())
        mirrored = torch.rand(count, generator=random) < 0.5
        photos = torch.where(mirrored[:, None, None, None].to(photos.device), photos.flip(-1), photos)
        timesteps = torch.randint(self._top, (count,), generator=random).to(device())
        return self._errors(photos, timesteps, random).mean()

    def report(self) -> str:
        photos = take(self._pixels, self._held[:HELD]).to(device())
        at = torch.full((len(photos),), LOOKED_AT, device=device())
        error = self._errors(photos, at, torch.Generator().manual_seed(0)).mean()
        share = float(self._scheduler.alphas_cumprod[LOOKED_AT])
        squared = float(error) * (1 - share) / share / 4  # of the photo, in [0, 1], that the noise amounts to
        return f"error of the noise at timestep {LOOKED_AT} {error:.4f}, PSNR {-10 * math.log10(squared):.1f} dB"

    def export(self, folder: Path) -> None:
        self.module.save_pretrained(folder)
        self._scheduler.save_pretrained(folder)

    def _errors(self, photos: Tensor, timesteps: Tensor, random: torch.Generator) -> Tensor:
        """Squared error (n,) of the noise that is told from photos (n, 3, h, w) in [0, 1]."""
        noise = torch.randn(photos.shape, generator=random).to(photos)
        noisy = self._scheduler.add_noise(photos * 2 - 1, noise, timesteps)
        network = self._answering if self.module.training else self.module
        with autocast():
            said = pixel_unet.answer(network, noisy, timesteps).float()
        return (said - noise).square().mean(dim=(1, 2, 3))


@hydra.main(version_base=None, config_path="conf", config_name="prior")
def main(config: DictConfig) -> None:
    """Train the prior of the configuration."""
    torch.manual_seed(config.schedule.seed)
    part = Prior(Faces.load(Path(config.photos)), config.width, config.top, config.compiled)
    train(part, Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
