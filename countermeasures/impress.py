"""IMPRESS: look for the photo nearby that the autoencoder reproduces.

Cao et al., "IMPRESS: evaluating the resilience of imperceptible perturbations against unauthorized data usage in
diffusion-based generative AI", NeurIPS 2023: cloaks make photos that an autoencoder cannot reproduce, so undo that.
Theirs starts from the photo as found in the code's defaults, and with noise in the README's command, which we follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.images import to_pixels, to_tensor
from bench.core.ranges import Count, Range, Rate, Share, Weight
from bench.core.types import Pixels
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import randn
from countermeasures import Purifier


@dataclass(frozen=True)
class Impress(Purifier):
    """Adam on the pixels: the error of the attacker's autoencoder, and staying close to the photo as found.

    Attributes:
        steps: of Adam.
        rate: its learning rate on [-1, 1], falling as a cosine to `last_rate`.
        last_rate: at the end.
        start: standard deviation of the noise at the start, on [-1, 1].
        weight: of the distance beyond the slack.
        slack: distance that costs nothing.
        distance: "lpips" as published (pyiqa, with weights of VGG), or "dssim", (1 - SSIM) / 2, which needs no weights.
    """

    steps: Count = 3000
    rate: Rate = 0.01
    last_rate: Share = 1e-5
    start: Annotated[float, Range(ge=0, le=2, unit="a standard deviation, on [-1, 1]")] = 0.1
    weight: Weight = 0.1
    slack: Share = 0.1
    distance: Literal["lpips", "dssim"] = "lpips"

    def __post_init__(self) -> None:
        if self.last_rate > self.rate:
            raise ValueError(f"last_rate must be at most rate, {self.rate:g}, and not {self.last_rate:g}: it falls")

    def purify(self, photos: list[Pixels], generator: torch.Generator, base: DiffusionModel) -> list[Pixels]:
        return [cleaned for photo in photos for cleaned in self._purify(photo, generator, base)]

    def _purify(self, photo: Pixels, generator: torch.Generator, base: DiffusionModel) -> list[Pixels]:
        far = _lpips(str(base.device)) if self.distance == "lpips" else dssim
        found = to_tensor([photo]).to(base.device) * 2 - 1
        noise = randn(found.shape, generator, base.device)
        clean = (found + self.start * noise).clamp(-1, 1).requires_grad_(True)
        optimizer = torch.optim.Adam([clean], lr=self.rate)
        for step in range(self.steps):
            turn = (1 + math.cos(math.pi * step / self.steps)) / 2
            optimizer.param_groups[0]["lr"] = self.last_rate + (self.rate - self.last_rate) * turn
            again = base.decode(base.encode((clean + 1) / 2)) * 2 - 1
            excess = (far((clean + 1) / 2, (found + 1) / 2) - self.slack).clamp(min=0)
            loss = F.mse_loss(again, clean) + self.weight * excess
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            with torch.no_grad():
                clean.clamp_(-1, 1)
        return to_pixels((clean.detach() + 1) / 2)


def dssim(one: Tensor, other: Tensor) -> Tensor:
    """(1 - SSIM) / 2 of two photos (1, 3, h, w) in [0, 1], a scalar; the variant of `metrics.visibility.ssim`."""
    offsets = torch.arange(-5, 6, dtype=one.dtype, device=one.device)
    line = torch.softmax(-offsets.square() / (2 * 1.5**2), dim=0)
    window = (line[:, None] * line).expand(3, 1, 11, 11)

    def local(values: Tensor) -> Tensor:
        """Weighted means in windows that lie inside the photo."""
        return F.conv2d(values, window, groups=3)

    mean, mean_other = local(one), local(other)
    spread, spread_other = local(one * one) - mean**2, local(other * other) - mean_other**2
    together = local(one * other) - mean * mean_other
    c1, c2 = 0.01**2, 0.03**2
    ssim = ((2 * mean * mean_other + c1) * (2 * together + c2)) / (
        (mean**2 + mean_other**2 + c1) * (spread + spread_other + c2)
    )
    return (1 - ssim.mean()) / 2


def _lpips(device: str) -> Callable[[Tensor, Tensor], Tensor]:
    """LPIPS with VGG.

    Raises:
        BenchError: pyiqa or the weights are not here.
    """
    from metrics.iqa import Unavailable, metric

    try:
        made = metric("lpips-vgg", device, differentiable=True)
    except Unavailable as error:
        raise BenchError(
            f"IMPRESS measures distance by LPIPS: {error.message}",
            f"{error.fix} Or take a distance without weights: countermeasure.impress.distance=dssim.",
        ) from error

    def distance(one: Tensor, other: Tensor) -> Tensor:
        found: Tensor = made(one, other)
        return found.mean()

    return distance
