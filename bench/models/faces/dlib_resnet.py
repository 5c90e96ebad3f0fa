"""dlib's face recogniser as a torch network, read from dlib's own file: the same numbers, an order of magnitude faster.

The dlib of PyPI multiplies matrices by itself, without a BLAS: 0.15 s a face on one core. The network is that of dlib's
example `dnn_face_recognition_ex.cpp`: a ResNet with 29 convolutions (He et al. 2016) whose batch norms were frozen.
Descriptors agree with dlib's own to a few parts in a million, which a test checks.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from bench.core.errors import BenchError
from bench.core.types import Array, Pixels

SIDE = 150
"""Pixels of an aligned face."""
PADDING = 0.25
"""Room around the face, as a share of it: dlib's default."""
LEVELS = ((32, 3, False), (64, 4, True), (128, 3, True), (256, 3, True), (256, 1, True))
"""Channels, blocks, and whether the first block halves the picture, from the picture inwards."""
MEAN = (122.782, 117.001, 104.298)
"""Of red, green and blue, grey levels of 255, as the file says."""

_WEIGHTS = re.compile(rb"con_4|affine_|fc_2\x01\x80\x02\x00\x01")
"""What stands before a layer's weights: its name; for the last layer its numbers of outputs and inputs too."""


class Block(nn.Module):
    """Two convolutions, around which the input passes; where it is halved, convolutions have no border in dlib."""

    def __init__(self, inside: int, outside: int, halved: bool) -> None:
        super().__init__()
        self.halved = halved
        self.first = nn.Conv2d(inside, outside, 3, 2 if halved else 1, 0 if halved else 1)
        self.second = nn.Conv2d(outside, outside, 3, 1, 1)

    def forward(self, x: Tensor) -> Tensor:
        """(n, inside, h, w) -> (n, outside, h', w'); what is smaller is filled up with zeros, channels too."""
        branch = self.second(self.first(x).relu())
        if self.halved:
            x = F.avg_pool2d(x, 2)
        sizes = [max(a, b) for a, b in zip(branch.shape[1:], x.shape[1:], strict=True)]
        return (_filled(branch, sizes) + _filled(x, sizes)).relu()


class DlibNetwork(nn.Module):
    """Aligned faces to descriptors.

    Args:
        file: `dlib_face_recognition_resnet_model_v1.dat`.

    Raises:
        BenchError: the file is not that.
    """

    mean: Tensor

    def __init__(self, file: Path) -> None:
        super().__init__()
        self.register_buffer("mean", torch.tensor(MEAN)[:, None, None])
        self.first = nn.Conv2d(3, LEVELS[0][0], 7, 2)
        blocks, inside = [], LEVELS[0][0]
        for outside, depth, halved in LEVELS:
            for i in range(depth):
                blocks.append(Block(inside, outside, halved and i == 0))
                inside = outside
        self.blocks = nn.Sequential(*blocks)
        self.last = nn.Linear(inside, 128, bias=False)
        self._read(file)
        self.eval().requires_grad_(False).to(memory_format=torch.channels_last)

    def forward(self, faces: Tensor) -> Tensor:
        """Descriptors (n, 128) of aligned faces (n, 3, 150, 150), grey levels of 255."""
        x = F.max_pool2d(self.first((faces - self.mean) / 256).relu(), 3, 2)
        described: Tensor = self.last(self.blocks(x).mean(dim=(2, 3)))
        return described

    def describe(self, picture: Pixels, landmarks: Sequence[Any]) -> Array:
        """Descriptors (n, 128), as dlib's own `compute_face_descriptor` gives them, of the faces of a picture.

        Args:
            picture: (h, w, 3) uint8, RGB.
            landmarks: n faces' five points as dlib's shape predictor gives them.
        """
        import dlib

        aligned = [dlib.get_face_chip(picture, points, SIDE, PADDING) for points in landmarks]
        faces = torch.from_numpy(np.stack(aligned)).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            return np.asarray(self(faces))

    def _read(self, file: Path) -> None:
        """Fill in the weights: innermost layer first, a convolution with its bias, then the frozen norm after it."""
        tensors = _tensors(file)
        try:
            for layer in (m for m in self.modules() if isinstance(m, nn.Conv2d)):
                values, (scale, shift) = next(tensors), next(tensors).chunk(2)
                assert layer.bias is not None
                kernel, bias = values[: layer.weight.numel()], values[layer.weight.numel() :]
                layer.weight.data = kernel.view_as(layer.weight) * scale[:, None, None, None]
                layer.bias.data = bias * scale + shift
            self.last.weight.data = next(tensors).view(self.last.in_features, -1).T.contiguous()
        except (StopIteration, IndexError, RuntimeError, ValueError) as error:
            raise BenchError(f"{file} is not dlib's face recognition network.") from error


def _filled(x: Tensor, sizes: list[int]) -> Tensor:
    """(n, c, h, w) with zeros behind, up to `sizes` of c, h and w."""
    channels, height, width = (size - had for size, had in zip(sizes, x.shape[1:], strict=True))
    return F.pad(x, (0, width, 0, height, 0, channels))


def _tensors(file: Path) -> Iterator[Tensor]:
    """The flat weights in a file of dlib, in its order: after a layer's name come a version, four sizes, floats."""
    data, end = file.read_bytes(), 0
    while found := _WEIGHTS.search(data, end):
        version, at = _integer(data, found.end())
        count = 1
        for _ in range(4):
            size, at = _integer(data, at)
            count *= size
        end = at + 4 * count
        if version != 2 or end > len(data):
            raise ValueError("not a tensor")
        yield torch.frombuffer(bytearray(data[at:end]), dtype=torch.float32)


def _integer(data: bytes, at: int) -> tuple[int, int]:
    """A number as dlib writes it (how many bytes, then these, lowest first), and where the next thing starts."""
    end = at + 1 + data[at]
    return int.from_bytes(data[at + 1 : end], "little"), end
