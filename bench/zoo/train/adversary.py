"""A critic that tells photos from reconstructions patch by patch, and learns along (Isola et al., "PatchGAN", 2017).

Pixel errors alone are smallest for a blur. Losses are the hinge's, as in the autoencoder of Stable Diffusion.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.func import functional_call

WIDTHS = (32, 64, 128)


class Critic(nn.Module):
    """Pictures (n, 3, h, w) to one score for each of their patches (n, 1, h / 8, w / 8): high for photos."""

    def __init__(self) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        for inside, outside in zip((3, *WIDTHS), WIDTHS, strict=False):
            layers += [nn.Conv2d(inside, outside, 4, 2, 1), nn.GroupNorm(16, outside), nn.LeakyReLU(0.2)]
        del layers[1]  # none on the picture's own brightness
        self.layers = nn.Sequential(*layers, nn.Conv2d(WIDTHS[-1], 1, 3, padding=1))

    def forward(self, pictures: Tensor) -> Tensor:
        scores: Tensor = self.layers(pictures)
        return scores

    def against(self, restored: Tensor) -> Tensor:
        """The loss of reconstructions that should pass for photos; the critic itself learns nothing from it."""
        fixed = {name: weight.detach() for name, weight in self.named_parameters()}
        scores: Tensor = functional_call(self, fixed, (restored,))
        return -scores.mean()

    def own(self, restored: Tensor, photos: Tensor) -> Tensor:
        """The critic's own loss; the autoencoder learns nothing from it."""
        scores = self(torch.cat([photos, restored.detach()]))
        real, false = scores.chunk(2)
        return 0.5 * (F.relu(1 - real).mean() + F.relu(1 + false).mean())
