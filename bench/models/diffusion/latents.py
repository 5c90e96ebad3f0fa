"""`LatentModel`: photos to latents and back, through the model's autoencoder.

Photos are (n, 3, h, w) in [0, 1]; latents are (n, c, h/f, w/f), already multiplied by the VAE's scaling factor.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from bench.core.deferred import Tensor, torch
from bench.models.diffusion.batching import in_batches
from bench.models.diffusion.devices import randn, to_device
from bench.models.diffusion.parts import ModelParts

ENCODED, DECODED = 2**21, 2**20
"""Pixels that the VAE encodes and decodes at once, without gradients: 8 photos and 4 pictures of 512 px."""


@dataclass(frozen=True)
class Posterior:
    """The VAE's distribution over latents of some photos: `mean` and `std`, both (n, c, h/f, w/f), scaled.

    Cached once per photo set, then sampled at every training step, as a trainer that re-encodes would do.
    """

    mean: Tensor
    std: Tensor

    def sample(self, generator: torch.Generator, index: Tensor | None = None) -> Tensor:
        mean, std = self.mean, self.std
        if index is not None:
            index = to_device(index, mean.device)
            mean, std = mean[index], std[index]
        return mean + std * randn(mean.shape, generator, mean.device)


class LatentModel(ModelParts):
    """A model that works on latents of photos.

    Attributes:
        half_vae: whether the VAE computes in half precision where the rest does.
    """

    half_vae: ClassVar[bool] = True

    def posterior(self, photos: Tensor) -> Posterior:
        """The VAE's distribution for photos (n, 3, h, w) in [0, 1]; differentiable.

        Without gradients, many photos are encoded some at a time: 200 class pictures of 1,024 px would fill any GPU.
        """
        if torch.is_grad_enabled():
            return self._posterior(photos)
        most = self._at_once(ENCODED, photos.shape[-2] * photos.shape[-1])

        def some(part: slice) -> list[tuple[Tensor, Tensor]]:
            found = self._posterior(photos[part])
            return list(zip(found.mean, found.std, strict=True))

        means, stds = zip(*in_batches(len(photos), most, some), strict=True)
        return Posterior(torch.stack(means), torch.stack(stds))

    def _posterior(self, photos: Tensor) -> Posterior:
        with self._autocast(self.half_vae):
            distribution = self.vae.encode(photos * 2 - 1).latent_dist
        shift, scale = self._scaling
        return Posterior((distribution.mean.float() - shift) * scale, distribution.std.float() * scale)

    @property
    def _scaling(self) -> tuple[float, float]:
        """What is taken off the VAE's latents, and what they are then multiplied by."""
        return self.vae.config.shift_factor or 0.0, self.vae.config.scaling_factor

    def encode(self, photos: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Latents of photos (n, 3, h, w) in [0, 1]: a sample if a generator is given, else the mean; differentiable."""
        posterior = self.posterior(photos)
        return posterior.mean if generator is None else posterior.sample(generator)

    def decode(self, latents: Tensor) -> Tensor:
        """Photos (n, 3, h, w) in [0, 1] of latents; differentiable. Without gradients, some at a time."""
        if torch.is_grad_enabled():
            return self._decode(latents)
        most = self._at_once(DECODED, latents.shape[-2] * latents.shape[-1] * self.factor**2)
        return torch.stack(in_batches(len(latents), most, lambda part: [*self._decode(latents[part])]))

    def _at_once(self, pixels: int, of_one: int) -> int:
        """How many pictures of so many pixels the VAE sees at once, if these are all it may see."""
        return 1 if self.computing.memory == "low" else max(1, pixels // of_one)

    def _decode(self, latents: Tensor) -> Tensor:
        shift, scale = self._scaling
        with self._autocast(self.half_vae):
            photos: Tensor = self.vae.decode(latents / scale + shift).sample
        return (photos.float() / 2 + 0.5).clamp(0, 1)

    @property
    def latent_shape(self) -> tuple[int, int, int]:
        """(channels, height, width) of one latent at the model's own resolution."""
        side = int(self.denoiser.config.sample_size)
        return int(self.denoiser.config.in_channels), side, side

    @property
    def side(self) -> int:
        """Side of the pictures that `sample` makes, pixels."""
        return self.latent_shape[-1] * self.factor

    @property
    def factor(self) -> int:
        """Pixels per latent, along a side."""
        return int(2 ** (len(self.vae.config.block_out_channels) - 1))
