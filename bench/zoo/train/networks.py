"""The two recogniser networks: aligned faces (n, 3, 112, 112) in [-1, 1] to embeddings (n, 512).

They differ on purpose, so that a cloak made against one is not automatically one against the other: `residual` is a
small ResNet in the manner of ArcFace's, `fused` is of EfficientNetV2's kind. Convolutions are dense and widths
multiples of 16, which is what bf16 matrix units are fast at.

Embeddings end in a batch norm without weights: they are centred, so that strangers have cosines around 0, and their
norm is about 22, near that of the recognisers which diffusion adapters are made for.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from pathlib import Path

from safetensors.torch import load_file
from torch import Tensor, nn

EMBEDDING = 512


def convolution(inside: int, outside: int, kernel: int, stride: int = 1) -> nn.Sequential:
    """A convolution that keeps the size (but for the stride), and batch norm."""
    return nn.Sequential(
        nn.Conv2d(inside, outside, kernel, stride, padding=kernel // 2, bias=False), nn.BatchNorm2d(outside)
    )


class Residual(nn.Module):
    """Two 3x3 convolutions around which the input passes (He et al., 2016), with PReLU as in ArcFace."""

    def __init__(self, inside: int, outside: int, stride: int) -> None:
        super().__init__()
        self.branch = nn.Sequential(
            convolution(inside, outside, 3, stride), nn.PReLU(outside), convolution(outside, outside, 3)
        )
        same = inside == outside and stride == 1
        self.skip = nn.Identity() if same else convolution(inside, outside, 1, stride)
        self.activation = nn.PReLU(outside)

    def forward(self, x: Tensor) -> Tensor:
        return self.activation(self.branch(x) + self.skip(x))  # type: ignore[no-any-return]


class Fused(nn.Module):
    """Fused inverted bottleneck with squeeze and excitation (Tan and Le, "EfficientNetV2", 2021)."""

    def __init__(self, width: int, inner: int) -> None:
        super().__init__()
        self.expand = nn.Sequential(convolution(width, inner, 3), nn.SiLU())
        self.gate = nn.Sequential(
            nn.AdaptiveAvgPool2d(1),
            nn.Conv2d(inner, inner // 4, 1),
            nn.SiLU(),
            nn.Conv2d(inner // 4, inner, 1),
            nn.Sigmoid(),
        )
        self.project = convolution(inner, width, 1)

    def forward(self, x: Tensor) -> Tensor:
        inner = self.expand(x)
        return x + self.project(inner * self.gate(inner))  # type: ignore[no-any-return]


def residual(widths: Sequence[int] = (16, 48, 96, 160), depths: Sequence[int] = (1, 2, 2)) -> nn.Sequential:
    """A ResNet that ends in a global depthwise convolution (Chen et al., "MobileFaceNets", 2018, section 3.1)."""
    layers: list[nn.Module] = [convolution(3, widths[0], 3, 2), nn.PReLU(widths[0])]
    for (inside, outside), depth in zip(pairwise(widths), depths, strict=True):
        layers += [Residual(inside, outside, 2), *(Residual(outside, outside, 1) for _ in range(depth - 1))]
    last = widths[-1]
    layers += [nn.Conv2d(last, last, 7, groups=last, bias=False), nn.BatchNorm2d(last), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(last, EMBEDDING), nn.BatchNorm1d(EMBEDDING, affine=False))


def fused(widths: Sequence[int] = (64, 96, 192), depths: Sequence[int] = (1, 2, 1)) -> nn.Sequential:
    """4x4 patches, fused blocks, average pooling between the levels and at the end."""
    layers: list[nn.Module] = [nn.Conv2d(3, widths[0], 4, 4, bias=False), nn.BatchNorm2d(widths[0])]
    for level, (width, depth) in enumerate(zip(widths, depths, strict=True)):
        if level:
            layers += [nn.AvgPool2d(2), convolution(widths[level - 1], width, 1)]
        layers += [Fused(width, width * 3 // 2) for _ in range(depth)]
    layers += [nn.AdaptiveAvgPool2d(1), nn.Flatten()]
    return nn.Sequential(*layers, nn.Linear(widths[-1], EMBEDDING), nn.BatchNorm1d(EMBEDDING, affine=False))


NETWORKS = {"residual": residual, "fused": fused}


def load(name: str, weights: Path) -> nn.Sequential:
    """A trained network of `NETWORKS`, from its file."""
    network = NETWORKS[name]()
    network.load_state_dict(load_file(weights))
    return network
