"""What cloaks make large or small, as functions of photos (n, 3, h, w) in [0, 1].

Each maker takes what stays the same (a base, a caption, targets), computes it once, and returns a `pgd.Objective`.
Captions are encoded when an objective is made: the text encoder must not change while it is in use.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from bench.core.deferred import Tensor, torch
from bench.core.deferred import functional as F
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.condition import Condition
from bench.models.diffusion.devices import randn
from bench.models.diffusion.latents import Posterior
from defenses.pgd import Objective

Timesteps = Callable[[], Tensor]
"""Draws (n,) timesteps, one per photo."""


@dataclass(frozen=True)
class Step:
    """One random denoising step of some photos.

    Attributes:
        latents: (n, c, h, w) sampled from the VAE's posterior; gradients reach the photos.
        noise: what was added.
        timesteps: (n,).
        noised: the latents with the noise.
        predicted: what the denoiser predicts.
        target: what it should have predicted.
    """

    latents: Tensor
    noise: Tensor
    timesteps: Tensor
    noised: Tensor
    predicted: Tensor
    target: Tensor

    @property
    def error(self) -> Tensor:
        """The denoising loss: mean squared error of the prediction."""
        return F.mse_loss(self.predicted, self.target)


def denoise(
    base: DiffusionModel,
    photos: Tensor,
    condition: Condition,
    generator: torch.Generator,
    timesteps: Timesteps | None = None,
) -> Step:
    """Noise the photos' latents at random (or the given) timesteps and let the base predict.

    Drawn in the order latents, timesteps, noise.
    """
    latents = base.encode(photos, generator)
    chosen = timesteps() if timesteps is not None else base.random_timesteps(len(photos), generator)
    noise = randn(latents.shape, generator, base.device)
    noised = base.add_noise(latents, noise, chosen)
    predicted = base.predict(noised, chosen, condition)
    return Step(latents, noise, chosen, noised, predicted, base.target(latents, noise, chosen))


def twin(generator: torch.Generator) -> torch.Generator:
    """A generator that will draw what this one will draw next: for a second photo under the same noise."""
    copy = torch.Generator()
    copy.set_state(generator.get_state())
    return copy


def caption(base: DiffusionModel, prompt: str, count: int) -> Condition:
    """One prompt as the condition of `count` photos, without gradients."""
    with torch.no_grad():
        return base.condition([prompt]).expand(count)


def denoising_loss(
    base: DiffusionModel, prompt: str, count: int, generator: torch.Generator, timesteps: Timesteps | None = None
) -> Objective:
    """The denoising loss of a base on `count` photos with one caption; each call draws anew."""
    condition = caption(base, prompt, count)
    return lambda photos: denoise(base, photos, condition, generator, timesteps).error


def score_distillation(base: DiffusionModel, prompt: str, count: int, generator: torch.Generator) -> Objective:
    """Its gradient is that of the denoising loss without the denoiser's Jacobian (SDS, Xue et al. 2024).

    The error of the prediction, taken as constant, times the latents. A v-prediction's error is that of the noise times
    a positive factor per photo, which a signed step does not see.
    """
    condition = caption(base, prompt, count)

    def score(photos: Tensor) -> Tensor:
        latents = base.encode(photos, generator)
        with torch.no_grad():
            timesteps = base.random_timesteps(len(photos), generator)
            noise = randn(latents.shape, generator, base.device)
            predicted = base.predict(base.add_noise(latents, noise, timesteps), timesteps, condition)
            error = predicted - base.target(latents, noise, timesteps)
        return (error * latents).sum() / latents[0].numel()

    return score


def latent_distance(base: DiffusionModel, wanted: Tensor) -> Objective:
    """Mean squared distance of the latents' means to `wanted`, (1 or n, c, h, w)."""
    return lambda photos: (base.encode(photos) - wanted).square().mean()


def latent_shift(base: DiffusionModel, clean: Tensor) -> Objective:
    """How far the VAE's posterior has moved: mean squared shift of its mean plus that of its log-variance.

    The objective of PID (Li et al. 2024). The mean is taken before the scaling factor, as there: it is then of the size
    of the log-variance.
    """
    with torch.no_grad():
        original = base.posterior(clean)
    scale = float(base.vae.config.scaling_factor)

    def shift(photos: Tensor) -> Tensor:
        posterior: Posterior = base.posterior(photos)
        mean = (posterior.mean - original.mean) / scale
        log_variance = 2 * (posterior.std.log() - original.std.log())
        return mean.square().mean() + log_variance.square().mean()

    return shift
