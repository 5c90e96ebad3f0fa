"""Photos, views and a recogniser that trainings of the family learn from in tests."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from bench.models.diffusion.base import DiffusionModel
from bench.zoo.train.networks import EMBEDDING
from bench.zoo.train.photos import Faces
from bench.zoo.train.views import Views
from tests.support import training_faces

PHOTOS = 8


def faces() -> Faces:
    """Photos of noise, in which everybody looks different."""
    return replace(
        training_faces.faces(PHOTOS),
        pixels=np.random.default_rng(0).integers(0, 256, (PHOTOS, 128, 128, 3), dtype=np.uint8),
        split=np.array(["train"] * (PHOTOS - 2) + ["held"] * 2),
        age=np.full(PHOTOS, 40),
        gender=np.array(["woman"] * PHOTOS),
    )


def views(vae: object, side: int) -> Views:
    return Views(
        vae=vae,
        faces=faces(),
        latents=torch.randn(PHOTOS, 4, side, side, generator=torch.Generator().manual_seed(0)).half(),
        row=torch.arange(PHOTOS),
        crop=torch.tensor([[0.0, 0.0, 1.0]] * PHOTOS),
        flip=torch.zeros(PHOTOS).bool(),
        grey=torch.zeros(PHOTOS).bool(),
    )


class Picture:
    """An autoencoder whose latents are the picture."""

    config = SimpleNamespace(scaling_factor=2.0, block_out_channels=[1] * 4)

    def requires_grad_(self, _: bool) -> None: ...

    def decode(self, latents: Tensor) -> SimpleNamespace:
        return SimpleNamespace(sample=latents)


def rng() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def prepare(base: DiffusionModel, folder: Path) -> Path:
    """Write the base, its views and random embeddings of them into a folder, as trainings read them: the base's."""
    saved = folder / "base"
    base.pipeline().save_pretrained(saved)
    made = views(AutoencoderKL.from_pretrained(saved, subfolder="vae"), base.latent_shape[-1])
    torch.save({k: getattr(made, k) for k in ("latents", "row", "crop", "flip", "grey")}, folder / "latents.pt")
    embeddings = torch.randn(PHOTOS, EMBEDDING, generator=torch.Generator().manual_seed(1))
    torch.save(embeddings.half(), folder / "embeddings.pt")
    return saved
