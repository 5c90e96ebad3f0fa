"""The recognition network of a pack as a torch module, so that gradients reach the photo."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.images import to_pixels
from bench.models.faces.alignment import ALIGNED, TEMPLATE, compose, similarity, warp
from bench.models.faces.half_onnx import read_widened
from bench.models.faces.insightface import Pack, analyser, largest


class FaceEmbedder:
    """Embeds aligned faces, differentiably; converted from ONNX (onnx2torch), fp32, frozen.

    Raises:
        BenchError: the pack lacks a network, or its recogniser has parts that cannot be converted.
    """

    def __init__(self, pack: Pack, device: str | torch.device = "cpu") -> None:
        from onnx2torch import convert

        network = analyser(pack).recognition
        try:
            self._network = convert(read_widened(network.file)).to(device).eval().requires_grad_(False)
        except (NotImplementedError, RuntimeError, ValueError) as error:
            raise BenchError(
                f"The recogniser {network.file} cannot be turned into a torch module: {error}",
                "Use one made of common layers: those of buffalo_l and antelopev2 are.",
            ) from error
        self._mean, self._std = network.mean, network.std

    def __call__(self, faces: Tensor) -> Tensor:
        """(n, 512) raw embeddings of aligned faces (n, 3, 112, 112) in [0, 1]."""
        embeddings: Tensor = self._network((faces * 255 - self._mean) / self._std)
        return embeddings


def find_points(pack: Pack, photos: Tensor) -> list[Tensor | None]:
    """(5, 2) key points in pixels of each photo's largest face, None where the pack's detector finds none."""
    found: list[Tensor | None] = []
    for picture in to_pixels(photos):
        face = largest(analyser(pack).faces(picture))
        found.append(None if face is None else torch.from_numpy(np.asarray(face.points, np.float32)).to(photos.device))
    return found


def alignment(points: Sequence[Tensor], sigma: float = 0.0, generator: torch.Generator | None = None) -> Tensor:
    """(n, 2, 3) transforms that align faces with key points (5, 2), with Gaussian noise on their entries.

    Args:
        points: n faces' key points in pixels of their photos.
        sigma: standard deviation of the noise, with the aligned face as [-1, 1]: 0.003 shifts it by a sixth of a pixel
            and turns and scales it by 0.3 %.
        generator: of the noise.
    """
    exact = similarity(torch.stack(list(points)), TEMPLATE.to(points[0]))
    if not sigma:
        return exact
    half = ALIGNED / 2
    noise = torch.randn(exact.shape, generator=generator).to(exact) * sigma
    shaken = torch.eye(2, 3).to(exact) + noise
    # In [-1, 1] around the centre of the aligned face: x -> half * (A (x - c) / half + t) + c.
    centre = torch.full((2,), (ALIGNED - 1) / 2).to(exact)
    shift = half * shaken[..., 2] + centre - shaken[..., :2] @ centre
    return compose(exact, torch.cat([shaken[..., :2], shift[..., None]], dim=-1))


def aligned(photos: Tensor, transforms: Tensor) -> Tensor:
    """Faces (n, 3, 112, 112) of photos (n, 3, h, w) under transforms of `alignment`; differentiable."""
    return warp(photos, transforms, ALIGNED)
