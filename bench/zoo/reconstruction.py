"""What an autoencoder keeps of photos and of who is on them.

The independent judges say the latter. They are asked after everything about an autoencoder is chosen, on people of the
evaluation; what is chosen is chosen by `bench.zoo.train.vae`, by others.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.images import to_pixels, to_tensor
from bench.core.types import Array, Pixels
from bench.data.photo_reader import read_image
from bench.models.faces.panel import Panel

Restore = Callable[[Tensor], Tensor]
"""Photos (n, 3, h, w) in [0, 1] -> what comes back of them."""
BATCH = 64
TENTH = 10


def through(folder: Path) -> Restore:
    """Through the autoencoder of a folder and back, without noise."""
    vae = AutoencoderKL.from_pretrained(folder, dtype=torch.float32).eval()

    @torch.no_grad()
    def restore(photos: Tensor) -> Tensor:
        restored: Tensor = vae.decode(vae.encode(photos * 2 - 1).latent_dist.mean).sample
        return (restored / 2 + 0.5).clamp(0, 1)

    return restore


def psnr(restore: Restore, pictures: list[Pixels]) -> float:
    """Mean PSNR in dB of pictures (h, w, 3) uint8 of one size."""
    values = []
    for start in range(0, len(pictures), BATCH):
        photos = to_tensor(pictures[start : start + BATCH])
        values.append(-10 * torch.log10((restore(photos) - photos).square().mean(dim=(1, 2, 3))))
    return float(torch.cat(values).mean())


def seen_again(restore: Restore, pictures: list[Pixels], panel: Panel) -> dict[str, Array]:
    """Judge -> (n,) cosines of photos and what comes back of them, where the largest face of the photo is in both.

    Photos in which no face is found are left out.
    """
    found: dict[str, list[float]] = {judge.name: [] for judge in panel.judges}
    for start in range(0, len(pictures), BATCH):
        some = pictures[start : start + BATCH]
        for before, after in zip(some, to_pixels(restore(to_tensor(some))), strict=True):
            faces = panel.detector.find(before)
            if not faces:
                continue
            face = max(faces, key=lambda one: float(np.prod(one.box[2:] - one.box[:2])))
            for judge in panel.judges:
                (mine,), (theirs,) = (judge.embed(picture, [face]) for picture in (before, after))
                found[judge.name].append(float(mine @ theirs))
    return {name: np.array(cosines) for name, cosines in found.items()}


def print_kept(name: str, restore: Restore, held: list[Pixels], evaluation: list[Pixels]) -> None:
    """Print the figures of one autoencoder: PSNR on held-out photos, cosines on the evaluation's."""
    print(f"{name}: PSNR {psnr(restore, held):.2f} dB")
    for judge, cosines in seen_again(restore, evaluation, Panel()).items():
        lowest = np.sort(cosines)[: max(1, len(cosines) // TENTH)].mean()
        print(f"{name}, {judge}: cosine of photo and reconstruction {cosines.mean():.3f}, lowest tenth {lowest:.3f}")


def evaluation_photos(data: Path) -> list[Pixels]:
    """The photos of `celeba_eval.parquet`, (128, 128, 3) uint8.

    Raises:
        BenchError: the file is not there.
    """
    file = data / "celeba_eval.parquet"
    if not file.is_file():
        raise BenchError(f"There is no {file}.", "Give the folder that holds it: bench.zoo.evaluate <folder>")
    images = pq.read_table(file, columns=["image"])["image"].to_pylist()
    return [np.asarray(read_image(io.BytesIO(image["bytes"]), "a photo")) for image in images]
