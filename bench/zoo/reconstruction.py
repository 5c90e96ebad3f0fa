"""What an autoencoder keeps of photos and of who is on them.

The independent judges say the latter. They are asked after everything about an autoencoder is chosen, on people of the
evaluation; what is chosen is chosen by `bench.zoo.train.vae`, by others.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from bench.core.images import to_pixels, to_tensor
from bench.core.types import Array, Pixels
from bench.models.faces.panel import Panel
from bench.zoo.boxes import largest

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


def psnr(restore: Restore, pictures: Sequence[Pixels]) -> float:
    """Mean PSNR in dB of pictures (h, w, 3) uint8 of one size."""
    errors = [(restored - photos).square().mean(dim=(1, 2, 3)) for photos, restored in _restored(restore, pictures)]
    return float((-10 * torch.log10(torch.cat(errors))).mean())


class Judged:
    """Photos that have a face, and what the judges say of the largest one of each: once, for all autoencoders.

    Args:
        pictures: (h, w, 3) uint8 of one size.
    """

    def __init__(self, pictures: Sequence[Pixels]) -> None:
        self._panel = Panel()
        found = [(picture, self._panel.detector.find(picture)) for picture in pictures]
        self._pictures = [picture for picture, faces in found if faces]
        self._faces = [largest(faces) for _, faces in found if faces]
        self._said = self._described(self._pictures)

    def __len__(self) -> int:
        return len(self._pictures)

    def cosines(self, restore: Restore) -> dict[str, Array]:
        """Judge -> (n,) cosines of photos and what comes back of them, the face being where the photo has it."""
        said = self._described([one for _, some in _restored(restore, self._pictures) for one in to_pixels(some)])
        return {judge: (before * said[judge]).sum(axis=1) for judge, before in self._said.items()}

    def _described(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        """Judge -> (n, d) unit embeddings."""
        placed = list(zip(pictures, self._faces, strict=True))
        return {
            judge.name: np.concatenate([judge.embed(picture, [face]) for picture, face in placed])
            for judge in self._panel.judges
        }


def print_kept(name: str, restore: Restore, held: Sequence[Pixels], evaluation: Judged) -> None:
    """Print the figures of one autoencoder: PSNR on held-out photos, cosines on the evaluation's."""
    print(f"{name}: PSNR {psnr(restore, held):.2f} dB")
    for judge, cosines in evaluation.cosines(restore).items():
        lowest = np.sort(cosines)[: max(1, len(cosines) // TENTH)].mean()
        print(f"{name}, {judge}: cosine of photo and reconstruction {cosines.mean():.3f}, lowest tenth {lowest:.3f}")


def _restored(restore: Restore, pictures: Sequence[Pixels]) -> Iterator[tuple[Tensor, Tensor]]:
    """Photos (n, 3, h, w), some at a time, and what comes back of them."""
    for start in range(0, len(pictures), BATCH):
        photos = to_tensor(pictures[start : start + BATCH])
        yield photos, restore(photos)
