"""AdverseCleaner: many bilateral filters, then a filter guided by the photo as it was found.

L. Zhang's tool of 2023 against "adversarial noise", with its released settings on photos of 512 px. Windows go with the
photo's side, and where that leaves less than a pixel around, fewer rounds make up for it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.images import to_pixels, to_tensor
from bench.core.ranges import Range, Several
from bench.core.types import Pixels
from countermeasures import Countermeasure
from countermeasures.picture_scale import picture_scale


@dataclass(frozen=True)
class AdverseCleaner(Countermeasure):
    """64 bilateral filters, then 4 guided ones whose guide is the photo itself.

    Attributes:
        rounds_at_512: bilateral filters, on a photo of 512 px.
        diameter_at_512: of their neighbourhood in pixels, odd, likewise.
        colour: their standard deviation in grey levels, of the sum over the three colours.
        space_at_512: their standard deviation in pixels, on a photo of 512 px.
        guided: guided filters.
        radius_at_512: of their windows in pixels, on a photo of 512 px.
        epsilon: how much variance counts as none, squared grey levels.
    """

    rounds_at_512: Several = 64
    diameter_at_512: Annotated[int, Range(ge=3, le=63, unit="pixels at 512 px")] = 5
    colour: Annotated[float, Range(gt=0, le=765, unit="grey levels, summed over three colours")] = 8.0
    space_at_512: Annotated[float, Range(gt=0, le=100, unit="pixels at 512 px")] = 8.0
    guided: Several = 4
    radius_at_512: Annotated[int, Range(ge=1, le=63, unit="pixels at 512 px")] = 4
    epsilon: Annotated[float, Range(gt=0, le=65025, unit="squared grey levels")] = 16.0

    def __post_init__(self) -> None:
        if self.diameter_at_512 % 2 == 0:
            raise ValueError(f"diameter_at_512 must be odd, not {self.diameter_at_512}")

    def apply(self, photos: list[Pixels], generator: torch.Generator) -> list[Pixels]:
        return [cleaned for photo in photos for cleaned in to_pixels(self._clean(to_tensor([photo]) * 255) / 255)]

    @torch.no_grad()
    def _clean(self, found: Tensor) -> Tensor:
        photo, scale = found, picture_scale(found.shape[-2:])
        diameter, space = 2 * _pixels(self.diameter_at_512 // 2, scale) + 1, self.space_at_512 * scale
        for _ in range(self.rounds(scale)):
            photo = bilateral(photo, diameter, self.colour, space)
        for _ in range(self.guided):
            photo = guided(photo, found, _pixels(self.radius_at_512, scale), self.epsilon)
        return photo

    def rounds(self, scale: float) -> int:
        """So many that all together reach as far, in shares of the photo, as they do at 512 px.

        Variances of filters in a row add up. Neighbours are whole pixels away, so a single one may reach too far.
        """
        diameter = 2 * _pixels(self.diameter_at_512 // 2, scale) + 1
        aim = scale**2 * variance(self.diameter_at_512, self.space_at_512)
        return round(self.rounds_at_512 * aim / variance(diameter, self.space_at_512 * scale))


def _pixels(at_512: int, scale: float) -> int:
    """A radius on a photo of another size: whole pixels, at least one."""
    return max(1, round(at_512 * scale))


def variance(diameter: int, space: float) -> float:
    """Of a bilateral filter along one axis, where all colours are alike; squared pixels."""
    radius = diameter // 2
    down, right = np.mgrid[-radius : radius + 1, -radius : radius + 1]
    weight = np.exp(-(down**2 + right**2) / (2 * space**2)) * (down**2 + right**2 <= radius**2)
    return float((weight * right**2).sum() / weight.sum())


def bilateral(photos: Tensor, diameter: int, colour: float, space: float) -> Tensor:
    """Bilateral filter (Tomasi and Manduchi 1998) as OpenCV defines it.

    The neighbourhood is a disc, colours are compared by the sum of their absolute differences, and the border is
    mirrored.

    Args:
        photos: (n, 3, h, w), grey levels of 255.
        diameter: of the neighbourhood, pixels, odd.
        colour: standard deviation, grey levels.
        space: standard deviation, pixels.
    """
    radius, (height, width) = diameter // 2, photos.shape[-2:]
    around = F.pad(photos, [radius] * 4, mode="reflect")
    total, weights = torch.zeros_like(photos), torch.zeros_like(photos[:, :1])
    for down in range(-radius, radius + 1):
        for right in range(-radius, radius + 1):
            if (distance := down**2 + right**2) > radius**2:
                continue
            top, left = radius + down, radius + right
            other = around[..., top : top + height, left : left + width]
            apart = (other - photos).abs().sum(dim=1, keepdim=True)
            weight = torch.exp(-(apart**2) / (2 * colour**2) - distance / (2 * space**2))
            total, weights = total + weight * other, weights + weight
    return total / weights


def guided(photos: Tensor, guide: Tensor, radius: int, epsilon: float) -> Tensor:
    """Guided filter with a colour guide (He, Sun and Tang 2013, section 3.4).

    In every window the photo is fitted by an affine function of the guide's colours (equations 14 and 15); every pixel
    takes the mean of the functions of all windows that it is in (equation 16).

    Args:
        photos: (n, 3, h, w).
        guide: (n, 3, h, w), on the same scale.
        radius: of the windows, pixels.
        epsilon: of the ridge regression, the scale squared.
    """

    def mean(values: Tensor) -> Tensor:
        side = 2 * radius + 1
        return F.avg_pool2d(F.pad(values, [radius] * 4, mode="reflect"), side, stride=1)

    def products(left: Tensor, right: Tensor) -> Tensor:
        """(n, 9, h, w): every channel of one times every channel of the other."""
        return (left[:, :, None] * right[:, None]).flatten(1, 2)

    n, _, height, width = photos.shape
    guide_mean, photo_mean = mean(guide), mean(photos)
    spread = mean(products(guide, guide)) - products(guide_mean, guide_mean)
    shared = mean(products(guide, photos)) - products(guide_mean, photo_mean)
    matrices = [x.reshape(n, 3, 3, height, width).permute(0, 3, 4, 1, 2) for x in (spread, shared)]
    slopes = torch.linalg.solve(matrices[0] + epsilon * torch.eye(3).to(photos), matrices[1])
    slopes = slopes.permute(0, 3, 4, 1, 2)  # (n, colour of the guide, colour of the photo, h, w)
    offset = photo_mean - (slopes * guide_mean[:, :, None]).sum(dim=1)
    slopes_mean = mean(slopes.flatten(1, 2)).reshape(n, 3, 3, height, width)
    smooth: Tensor = (slopes_mean * guide[:, :, None]).sum(dim=1) + mean(offset)
    return smooth
