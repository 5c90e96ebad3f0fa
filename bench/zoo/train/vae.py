"""Train the autoencoder: 128 px photos to 16x16x4 latents (factor 8, 48:1, as Stable Diffusion's) and back.

`python -m bench.zoo.train.vae`. Loss: L1, squared error, L1 of the gradients (which keeps edges), a small KL term.
With `init`, the inner levels start from the weights of an autoencoder with one level less and half the resolution, and
a weak pull keeps the latents near that one's, so that a UNet trained on those can be trained further on these.
"""

from __future__ import annotations

from pathlib import Path

import hydra
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from omegaconf import DictConfig
from torch import Tensor

from bench.zoo.train.loop import Part, Schedule, train
from bench.zoo.train.photos import Faces

KL = 2e-4
PULL = 0.05
"""Weight of the squared distance to the smaller autoencoder's latents."""


class Autoencoder(Part):
    """The autoencoder on the training photos."""

    def __init__(self, module: AutoencoderKL, photos: Path, smaller: AutoencoderKL | None = None) -> None:
        self.module = module
        self._smaller = smaller.requires_grad_(False) if smaller is not None else None
        faces = Faces.load(photos)
        self._pixels = torch.from_numpy(np.array(faces.pixels))
        self._train = torch.from_numpy((faces.split == "train").nonzero()[0])
        self._held = torch.from_numpy((faces.split == "held").nonzero()[0])[::40][:64]

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        pick = torch.randint(len(self._train), (count,), generator=random)
        photos = augmented(self._take(self._train[pick]), random)
        with torch.autocast("cpu", torch.bfloat16):
            posterior = self.module.encode(photos).latent_dist
            restored = self.module.decode(posterior.sample(random)).sample
        kl = posterior.kl().float().mean() / photos[0].numel() * 4
        loss: Tensor = reconstruction(restored.float(), photos) + KL * kl
        if self._smaller is None:
            return loss
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16):
            other = self._smaller.encode(F.avg_pool2d(photos, 2)).latent_dist.mean
        pull: Tensor = (posterior.mean.float() - other.float()).square().mean()
        return loss + PULL * pull

    def report(self) -> str:
        photos = self._take(self._held)
        restored, latents = self._restored(photos)
        error = (restored.clamp(-1, 1) - photos).square().mean(dim=(1, 2, 3))
        return f"PSNR {(10 * torch.log10(4 / error)).mean():.2f} dB, latents' std {latents.std():.3f}"

    def grid(self) -> Tensor:
        photos = self._take(self._held[:16])
        return (
            torch.cat([photos[:8], self._restored(photos)[0][:8], photos[8:], self._restored(photos)[0][8:]]) / 2 + 0.5
        )

    def export(self, folder: Path) -> None:
        with torch.no_grad():
            latents = [self.module.encode(self._take(i)).latent_dist.mean for i in torch.split(self._train[::20], 32)]
        self.module.register_to_config(scaling_factor=round(float(1 / torch.cat(latents).std()), 5))
        self.module.save_pretrained(folder / "vae")

    def _take(self, index: Tensor) -> Tensor:
        return self._pixels[index].permute(0, 3, 1, 2).float() / 127.5 - 1

    def _restored(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        latents: Tensor = self.module.encode(photos).latent_dist.mean
        return self.module.decode(latents).sample, latents


def augmented(photos: Tensor, random: torch.Generator) -> Tensor:
    """Mirror half of the photos (n, 3, h, w), and shift each by up to 7 px, so that no place on the grid is special."""
    n, _, h, w = photos.shape
    flip = torch.rand(n, generator=random) < 0.5
    photos = torch.where(flip[:, None, None, None], photos.flip(-1), photos)
    padded = F.pad(photos, (7, 7, 7, 7), mode="reflect")
    top, left = torch.randint(15, (2,), generator=random).tolist()
    return padded[:, :, top : top + h, left : left + w]


def reconstruction(restored: Tensor, photos: Tensor) -> Tensor:
    """L1 + half squared error + half L1 of the differences between neighbours."""
    error = restored - photos
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 0.5 * error.square().mean() + 0.5 * edges


def build(channels: tuple[int, ...], side: int) -> AutoencoderKL:
    """A small stock autoencoder with one level per entry of `channels`."""
    levels = len(channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=channels,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=16,
        sample_size=side,
        mid_block_add_attention=False,
    )


def grow(large: AutoencoderKL, small: AutoencoderKL) -> None:
    """Copy the weights of an autoencoder with one level less into the inner levels of `large`.

    Encoder levels count from the picture inwards, so they move up by one; decoder levels count from the latent
    outwards, so they stay. Weights whose shape differs (the seam at the new outer level) keep their random start.
    """
    mine = large.state_dict()
    for key, value in small.state_dict().items():
        parts = key.split(".")
        if key.startswith("encoder.down_blocks"):
            parts[2] = str(int(parts[2]) + 1)
        moved = ".".join(parts)
        if moved in mine and mine[moved].shape == value.shape:
            mine[moved] = value
    large.load_state_dict(mine)


@hydra.main(version_base=None, config_path="conf", config_name="vae")
def main(config: DictConfig) -> None:
    """Train the autoencoder of the configuration."""
    torch.manual_seed(config.schedule.seed)
    module, smaller = build(tuple(config.channels), 128), None
    if config.init:
        smaller = AutoencoderKL.from_pretrained(config.init, subfolder="vae", dtype=torch.float32)
        grow(module, smaller)
    train(Autoencoder(module, Path(config.photos), smaller), Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
