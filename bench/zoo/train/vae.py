"""Train the autoencoder: 128 px photos to 16x16 latents of four channels (48:1, as Stable Diffusion's) and back.

`python -m bench.zoo.train.vae`. Loss: L1, squared error, L1 of the gradients (which keeps edges), a small KL term.
With `teachers`, aligned faces are also compared in the features of recognisers: at 48:1 something must go, and it
should not be the likeness. With `adversary`, a critic learns along. `weights` starts from an autoencoder of the same
shape. With `init`, the inner levels start from the weights of an autoencoder with one level less and half the
resolution, and a weak pull keeps the latents near that one's, so that a UNet trained on those can be trained further on
these.

What is chosen is chosen by PSNR on held-out photos and by the cosine that `witness` sees between photos and
reconstructions of the people kept for tuning; the judges have no part in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from omegaconf import DictConfig
from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.models.faces.alignment import ALIGNED, TEMPLATE, similarity, warp
from bench.zoo.train.adversary import Critic
from bench.zoo.train.augment import take
from bench.zoo.train.fidelity import likeness, psnr, reconstruction
from bench.zoo.train.loop import Part, Schedule, train
from bench.zoo.train.networks import load
from bench.zoo.train.photos import SIDE, Faces
from bench.zoo.train.precision import autocast, device
from bench.zoo.train.views import points_in, random_crops, show

KL = 2e-4
PULL = 0.05
"""Weight of the squared distance to the smaller autoencoder's latents."""
WITNESSED = 120
"""Photos of people kept for tuning on which the witness reports."""


class Autoencoder(Part):
    """The autoencoder on random crops of the training photos.

    Args:
        vae: what to train.
        faces: the prepared photos.
        smaller: the autoencoder whose latents pull, or None.
        teachers: the networks in whose features faces are compared.
        weight: of that.
        adversary: weight of the critic; 0 trains without one.
        witness: the network that reports, or None.
    """

    def __init__(
        self,
        vae: AutoencoderKL,
        faces: Faces,
        smaller: AutoencoderKL | None = None,
        teachers: Sequence[nn.Sequential] = (),
        weight: float = 0.1,
        adversary: float = 0.0,
        witness: nn.Sequential | None = None,
    ) -> None:
        self.module = nn.ModuleDict({"vae": vae} | ({"critic": Critic()} if adversary else {}))
        self._vae: Any = vae
        self._smaller = _fixed(smaller)
        self._teachers = [_fixed(network) for network in teachers]
        self._weight, self._adversary, self._witness = weight, adversary, _fixed(witness)
        self._faces = faces
        aligned = ~np.isnan(faces.points[:, 0, 0])
        self._train = torch.from_numpy(((faces.split == "train") & aligned).nonzero()[0])
        self._held = torch.from_numpy((faces.split == "held").nonzero()[0])[::40][:64]
        tune = torch.from_numpy(((faces.split == "tune") & aligned).nonzero()[0])
        self._tune = tune[:: max(1, len(tune) // WITNESSED)]

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        row = self._train[torch.randint(len(self._train), (count,), generator=random)]
        crop, flip = random_crops(self._faces, row, random), torch.rand(count, generator=random) < 0.5
        photos = show(self._faces, row, crop, flip, torch.zeros(count).bool()) * 2 - 1
        with autocast():
            posterior = self._vae.encode(photos).latent_dist
            restored = self._vae.decode(posterior.sample(random)).sample.float()
        kl = posterior.kl().float().mean() / photos[0].numel() * 4
        loss: Tensor = reconstruction(restored, photos) + KL * kl
        if self._smaller is not None:
            with torch.no_grad(), autocast():
                other = self._smaller.encode(F.avg_pool2d(photos, 2)).latent_dist.mean
            loss = loss + PULL * (posterior.mean.float() - other.float()).square().mean()
        if self._teachers:
            points = points_in(self._faces, row, crop, flip)
            mine, theirs = self._aligned(restored, points), self._aligned(photos, points)
            apart = [likeness(network, mine, theirs) for network in self._teachers]
            loss = loss + self._weight * torch.stack(apart).mean()
        if self._adversary:
            critic = self.module["critic"]
            loss = loss + self._adversary * critic.against(restored) + critic.own(restored, photos)
        return loss

    def report(self) -> str:
        photos = self._take(self._held)
        restored, latents = self._restored(photos)
        said = f"PSNR {psnr(restored, photos).mean():.2f} dB, latents' std {latents.std():.3f}"
        if self._witness is None:
            return said
        cosines = self._seen_again(self._witness).sort().values
        return f"{said}, cosine {cosines.mean():.3f}, lowest tenth {cosines[: len(cosines) // 10].mean():.3f}"

    def grid(self) -> Tensor:
        photos = self._take(self._held[:16])
        restored = self._restored(photos)[0]
        return torch.cat([photos[:8], restored[:8], photos[8:], restored[8:]]) / 2 + 0.5

    def export(self, folder: Path) -> None:
        with torch.no_grad():
            latents = [self._restored(self._take(i))[1] for i in torch.split(self._train[::20], 32)]
        self._vae.register_to_config(scaling_factor=round(float(1 / torch.cat(latents).std()), 5))
        self._vae.save_pretrained(folder / "vae")

    def _take(self, index: Tensor) -> Tensor:
        return take(self._faces.pixels, index) * 2 - 1

    def _restored(self, photos: Tensor) -> tuple[Tensor, Tensor]:
        latents: Tensor = self._vae.encode(photos).latent_dist.mean
        return self._vae.decode(latents).sample, latents

    def _aligned(self, photos: Tensor, points: Tensor) -> Tensor:
        """(n, 3, 112, 112) faces of photos with key points (n, 5, 2) as fractions."""
        return warp(photos, similarity(points * SIDE, TEMPLATE).to(device()), ALIGNED)

    def _seen_again(self, network: nn.Sequential) -> Tensor:
        """(n,) cosines, to a recogniser, of photos of people kept for tuning and their reconstructions."""
        photos = self._take(self._tune)
        points = torch.from_numpy(np.array(self._faces.points[self._tune.numpy()])).float()
        restored = torch.cat([self._restored(part)[0].clamp(-1, 1) for part in torch.split(photos, 32)])
        with autocast():
            mine, theirs = (network(self._aligned(x, points)).float() for x in (restored, photos))
        return F.cosine_similarity(mine, theirs)


def _fixed(network: Any) -> Any:
    """A network, or None, as it is: in use, but not trained."""
    return network if network is None else network.eval().requires_grad_(False).to(device())


def build(channels: tuple[int, ...], side: int, layers: int = 1, latents: int = 4) -> AutoencoderKL:
    """A small stock autoencoder with one level per entry of `channels`, each of so many layers."""
    levels = len(channels)
    return AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=channels,
        layers_per_block=layers,
        latent_channels=latents,
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
    vae, smaller = build(tuple(config.channels), SIDE, config.layers, config.latents), None
    if config.weights:
        vae.load_state_dict(AutoencoderKL.from_pretrained(config.weights, dtype=torch.float32).state_dict())
    if config.init:
        smaller = AutoencoderKL.from_pretrained(config.init, subfolder="vae", dtype=torch.float32)
        if config.latents != smaller.config.latent_channels:
            raise BenchError(f"latents={config.latents} cannot be kept near those of {config.init}.", "Set init=null.")
        grow(vae, smaller)
    teachers = [load(network, Path(file)) for network, file in config.teachers.items() if file]
    seen = config.witness
    part = Autoencoder(
        vae,
        Faces.load(Path(config.photos)),
        smaller,
        teachers,
        config.likeness,
        config.adversary,
        load(seen.network, Path(seen.weights)) if seen.weights else None,
    )
    train(part, Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
