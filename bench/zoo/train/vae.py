"""Train the autoencoder: 128 px photos to 16x16x4 latents (factor 8, 48:1, as Stable Diffusion's) and back.

`python -m bench.zoo.train.vae`. Loss: L1, squared error, L1 of the gradients (which keeps edges), a small KL term.
With `recogniser.weights`, aligned faces are also compared in a recogniser's features: at 48:1 something must go, and it
should not be the likeness. `weights` starts from an autoencoder of the same shape.
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
from torch import Tensor, nn

from bench.models.alignment import ALIGNED, TEMPLATE, similarity, warp
from bench.zoo.train.augment import take
from bench.zoo.train.loop import Part, Schedule, train
from bench.zoo.train.networks import Fused, Residual, load
from bench.zoo.train.photos import SIDE, Faces
from bench.zoo.train.precision import autocast, device
from bench.zoo.train.views import points_in, random_crops, show

KL = 2e-4
LIKENESS = 0.1
"""Weight of the difference that a recogniser sees."""
PULL = 0.05
"""Weight of the squared distance to the smaller autoencoder's latents."""


class Autoencoder(Part):
    """The autoencoder on random crops of the training photos.

    Args:
        module: what to train.
        photos: folder of the prepared photos.
        smaller: the autoencoder whose latents pull, or None.
        recogniser: the network in whose features faces are compared, or None.
    """

    def __init__(
        self, module: AutoencoderKL, photos: Path, smaller: AutoencoderKL | None, recogniser: nn.Sequential | None
    ) -> None:
        self.module = module
        self._smaller = smaller.requires_grad_(False).to(device()) if smaller is not None else None
        self._recogniser = recogniser.eval().requires_grad_(False).to(device()) if recogniser is not None else None
        self._faces = Faces.load(photos)
        aligned = ~np.isnan(self._faces.points[:, 0, 0])
        self._train = torch.from_numpy(((self._faces.split == "train") & aligned).nonzero()[0])
        self._held = torch.from_numpy((self._faces.split == "held").nonzero()[0])[::40][:64]

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        row = self._train[torch.randint(len(self._train), (count,), generator=random)]
        crop, flip = random_crops(self._faces, row, random), torch.rand(count, generator=random) < 0.5
        photos = show(self._faces, row, crop, flip, torch.zeros(count).bool()) * 2 - 1
        with autocast():
            posterior = self.module.encode(photos).latent_dist
            restored = self.module.decode(posterior.sample(random)).sample.float()
        kl = posterior.kl().float().mean() / photos[0].numel() * 4
        loss: Tensor = reconstruction(restored, photos) + KL * kl
        if self._smaller is not None:
            with torch.no_grad(), autocast():
                other = self._smaller.encode(F.avg_pool2d(photos, 2)).latent_dist.mean
            loss = loss + PULL * (posterior.mean.float() - other.float()).square().mean()
        if self._recogniser is not None:
            to_crop = similarity(points_in(self._faces, row, crop, flip) * SIDE, TEMPLATE).to(device())
            mine, theirs = (warp(x, to_crop, ALIGNED) for x in (restored, photos))
            loss = loss + LIKENESS * likeness(self._recogniser, mine, theirs)
        return loss

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
        return take(self._faces.pixels, index) * 2 - 1

    def _restored(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        latents: Tensor = self.module.encode(photos).latent_dist.mean
        return self.module.decode(latents).sample, latents


def reconstruction(restored: Tensor, photos: Tensor) -> Tensor:
    """L1 + half squared error + half L1 of the differences between neighbours."""
    error = restored - photos
    edges = error.diff(dim=-1).abs().mean() + error.diff(dim=-2).abs().mean()
    return error.abs().mean() + 0.5 * error.square().mean() + 0.5 * edges


def likeness(network: nn.Sequential, restored: Tensor, photos: Tensor) -> Tensor:
    """How far aligned faces (n, 3, 112, 112) in [-1, 1] are apart to a recogniser.

    Relative squared error of its features, averaged over its blocks, as in a perceptual loss (Johnson et al. 2016),
    plus 1 - cosine of its embeddings.
    """
    mine, theirs, errors = restored, photos, []
    with autocast():
        for layer in network:
            mine, theirs = layer(mine), layer(theirs)
            if isinstance(layer, (Residual, Fused)):
                errors.append((mine - theirs).float().square().mean() / theirs.float().square().mean())
    return torch.stack(errors).mean() + (1 - F.cosine_similarity(mine.float(), theirs.float())).mean()


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
    if config.weights:
        module.load_state_dict(AutoencoderKL.from_pretrained(config.weights, dtype=torch.float32).state_dict())
    if config.init:
        smaller = AutoencoderKL.from_pretrained(config.init, subfolder="vae", dtype=torch.float32)
        grow(module, smaller)
    known = config.recogniser
    recogniser = load(known.network, Path(known.weights)) if known.weights else None
    train(Autoencoder(module, Path(config.photos), smaller, recogniser), Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
