"""Training photos as batches, and their random changes: place, light and colour, softness, compression, holes.

All on batches in [0, 1], every photo with its own strength, and from a generator, so that a step can be repeated.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import jpeg, rgb_to_grayscale

from bench.core.types import Pixels
from bench.zoo.train.precision import device

Change = Callable[[Tensor, torch.Generator], Tensor]


def take(pixels: Pixels, rows: Tensor) -> Tensor:
    """Some of the prepared photos (N, h, w, 3), read from disk, as (n, 3, h, w) in [0, 1]."""
    return torch.from_numpy(pixels[rows.numpy()]).to(device()).permute(0, 3, 1, 2).float() / 255


def uniform(low: float, high: float, shape: tuple[int, ...], random: torch.Generator) -> Tensor:
    """Uniform random numbers of a shape."""
    return low + (high - low) * torch.rand(shape, generator=random)


def some(count: int, share: float, random: torch.Generator) -> Tensor:
    """(n,) bool, true for about `share` of the photos."""
    return torch.rand(count, generator=random) < share


def placement(origin: Tensor, goal: Tensor, scale: Tensor, turn: float, random: torch.Generator) -> Tensor:
    """Transforms (n, 2, 3) that bring `origin` to `goal`, both (n, 2), scale by (n,) and turn by up to `turn` radians.

    Half of them mirror.
    """
    angle = uniform(-turn, turn, scale.shape, random)
    mirror = torch.where(some(len(scale), 0.5, random), -1.0, 1.0)
    cos, sin = scale * angle.cos(), scale * angle.sin()
    linear = torch.stack([cos * mirror, -sin, sin * mirror, cos], dim=-1).reshape(-1, 2, 2)
    return torch.cat([linear, goal[..., None] - linear @ origin[..., None]], dim=-1)


def jitter(
    count: int, side: int, random: torch.Generator, shift: float = 0.04, zoom: float = 0.1, turn: float = 0.15
) -> Tensor:
    """Transforms (n, 2, 3) about the middle of pictures of a side in pixels; half of them mirror.

    They shift by up to `shift` of the side, scale by up to exp(`zoom`) either way, and turn by up to `turn` radians.
    """
    middle = torch.full((count, 2), (side - 1) / 2)
    goal = middle + side * uniform(-shift, shift, (count, 2), random)
    return placement(middle, goal, uniform(-zoom, zoom, (count,), random).exp(), turn, random)


def degrade(photos: Tensor, random: torch.Generator) -> Tensor:
    """Light and colour for all photos (n, 3, h, w); softness, compression, noise and a hole for some."""
    photos = relight(photos, random)
    photos = on(some(len(photos), 0.5, random), photos, soften, random)
    photos = on(some(len(photos), 0.3, random), photos, compress, random)
    noise = uniform(0, 0.04, (len(photos), 1, 1, 1), random) * torch.randn(photos.shape, generator=random)
    return cut_hole(photos + noise.to(photos), random).clamp(0, 1)


def relight(photos: Tensor, random: torch.Generator) -> Tensor:
    """Gamma, contrast, brightness, colour cast and saturation; one photo in ten becomes grey."""

    def draw(low: float, high: float, channels: int = 1) -> Tensor:
        return uniform(low, high, (len(photos), channels, 1, 1), random).to(photos)

    photos = photos.clamp(1e-4, 1).pow(draw(-0.4, 0.4).exp())
    photos = 0.5 + (photos - 0.5) * draw(0.65, 1.3) + draw(-0.12, 0.12)
    photos = photos * draw(0.88, 1.12, channels=3)
    saturation = draw(0.4, 1.4) * ~some(len(photos), 0.1, random)[:, None, None, None].to(photos.device)
    return torch.lerp(rgb_to_grayscale(photos), photos, saturation).clamp(0, 1)


def soften(photos: Tensor, random: torch.Generator) -> Tensor:
    """Down to between a quarter and three quarters of the side and back: small models paint no finer than that."""
    side = photos.shape[-1]
    small = int(uniform(side * 0.25, side * 0.75, (1,), random))
    shrunk = F.interpolate(photos, size=(small, small), mode="bilinear", antialias=True)
    return F.interpolate(shrunk, size=(side, side), mode="bicubic").clamp(0, 1)


def compress(photos: Tensor, random: torch.Generator) -> Tensor:
    """JPEG of quality 25 to 90."""
    quality = int(torch.randint(25, 91, (1,), generator=random))
    return torch.div(jpeg((photos * 255).round().to(torch.uint8), quality), 255)


def cut_hole(photos: Tensor, random: torch.Generator, share: float = 0.4) -> Tensor:
    """One grey rectangle, up to 45 % of the side each way, in a `share` of the photos (DeVries and Taylor, 2017)."""
    n, _, height, width = photos.shape
    hole = some(n, share, random)[:, None, None]
    for length, shape in ((height, (n, -1, 1)), (width, (n, 1, -1))):
        middle, radius = uniform(0, length, (n, 1), random), uniform(0.05, 0.225, (n, 1), random) * length
        hole = hole & ((torch.arange(length) - middle).abs() < radius).view(shape)
    return torch.where(hole[:, None].to(photos.device), 0.5, photos)


def on(chosen: Tensor, photos: Tensor, change: Change, random: torch.Generator) -> Tensor:
    """The photos, with `change` done to the chosen ones: (n,) bool."""
    if chosen.any():
        photos = photos.clone()
        photos[chosen] = change(photos[chosen], random)
    return photos
