"""Cached latents: several views (crops, mirrored, grey) of every training photo, encoded once."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL
from torch import Tensor

from bench.core.seeding import generator
from bench.core.types import Array
from bench.models.faces.alignment import ALIGNED, MIRRORED, TEMPLATE, face_box, similarity
from bench.zoo.train.augment import take
from bench.zoo.train.captions import genders
from bench.zoo.train.photos import SIDE, Faces
from bench.zoo.train.precision import autocast, device
from bench.zoo.train.syllables import names

PER_PHOTO = {"utkface_adults": 2, "celeba": 4, "lfw": 4}
"""Views of a photo, by its source: UTKFace's are hardly larger than the smallest frame, and come as they are and
mirrored; the others can be framed in many ways."""
FRAME = (1.2, 1.8)
"""Sides of the frames, in face boxes, as far as the photo reaches (1.2 in UTKFace, 1.7 in CelebA and LFW)."""
BOX = 0.75
"""Side of the box that dlib's detector draws around a face, as a share of the aligned face's side: median of 750."""
CLOSE = 1.4
"""Frames up to this many face boxes count as close-ups."""
OFF_CENTRE = 0.05
"""How far the face may be from the middle of a frame each way, as a share of the side, if the photo reaches as far."""
GREY = 0.06
"""Share of black and white views."""


@dataclass(frozen=True)
class Views:
    """Latents of views, and what each view shows.

    Attributes:
        vae: the autoencoder that made the latents.
        faces: the photos.
        latents: (n, 4, 16, 16) in half precision, times the VAE's scaling factor.
        row: (n,) the photo of each view.
        crop: (n, 3) left, top and side of the view as fractions of the photo.
        flip: (n,) whether it is mirrored.
        grey: (n,) whether it is black and white.
    """

    vae: AutoencoderKL
    faces: Faces
    latents: Tensor
    row: Tensor
    crop: Tensor
    flip: Tensor
    grey: Tensor

    @classmethod
    def cached(cls, faces: Faces, vae: AutoencoderKL, file: Path) -> Views:
        """Read the views from a file, or make them and write it."""
        vae.to(device())
        if not file.exists():
            file.parent.mkdir(parents=True, exist_ok=True)
            torch.save(_encoded(faces, vae), file)
        views = torch.load(file, weights_only=True)
        return cls(vae, faces, views.pop("latents").to(device()), **views)

    def of(self, split: str) -> Tensor:
        """Indices of the views of a split."""
        return torch.from_numpy(self.faces.split == split)[self.row].nonzero()[:, 0]

    @property
    def side(self) -> int:
        """Side of the pictures that the latents stand for, pixels."""
        return side_of(self.vae)

    def pixels(self, views: Tensor) -> Tensor:
        """(n, 3, side, side) in [0, 1]: what the views show."""
        shown = show(self.faces, self.row[views], self.crop[views], self.flip[views], self.grey[views])
        return shrink(shown, self.side)

    def points(self, views: Tensor) -> Tensor:
        """(n, 5, 2) key points as fractions of the view, left and right as seen in it; NaN where unknown."""
        return points_in(self.faces, self.row[views], self.crop[views], self.flip[views])

    def facts(self, view: int) -> tuple[int, str, bool, bool]:
        """(age, gender, close, grey) for the caption."""
        row = int(self.row[view])
        age, gender = int(self.faces.age[row]), str(self._genders[row])
        return age, gender, bool(self._close[view]), bool(self.grey[view])

    def name(self, view: int) -> str:
        """What captions call the person; "" for who has no name."""
        return self._names.get(str(self.faces.person[int(self.row[view])]), "")

    @cached_property
    def _names(self) -> dict[str, str]:
        return names(self.faces.person, self.faces.split == "train")

    @cached_property
    def _close(self) -> Tensor:
        """(n,) whether the face fills the view; where it is not known where the face is, it does."""
        box = _boxes(_points(self.faces, self.row))[1]
        return (self.crop[:, 2] < CLOSE * box) | box.isnan()

    @cached_property
    def _genders(self) -> Array:
        return genders(self.faces)


def show(faces: Faces, row: Tensor, crop: Tensor, flip: Tensor, grey: Tensor) -> Tensor:
    """(n, 3, 128, 128) in [0, 1]: crops of photos, mirrored and grey where wanted."""
    photos = take(faces.pixels, row)
    sign = torch.where(flip, -1.0, 1.0)
    theta = torch.zeros(len(row), 2, 3)
    theta[:, 0, 0], theta[:, 1, 1] = crop[:, 2] * sign, crop[:, 2]
    theta[:, :, 2] = 2 * crop[:, :2] + crop[:, 2:] - 1  # the crop's centre on a grid from -1 to 1
    grid = F.affine_grid(theta.to(photos), [len(row), 3, SIDE, SIDE], align_corners=False)
    shown = F.grid_sample(photos, grid, mode="bicubic", padding_mode="border", align_corners=False).clamp(0, 1)
    luma = (shown * shown.new_tensor([0.299, 0.587, 0.114])[:, None, None]).sum(dim=1, keepdim=True)
    return torch.where(grey[:, None, None, None].to(shown.device), luma.expand_as(shown), shown)


def shrink(photos: Tensor, side: int) -> Tensor:
    """(n, 3, side, side) in [0, 1] of larger photos."""
    if photos.shape[-1] == side:
        return photos
    return F.interpolate(photos, size=(side, side), mode="bicubic", antialias=True).clamp(0, 1)


def side_of(vae: AutoencoderKL) -> int:
    """Side of the pictures of an autoencoder whose latents are 16 x 16, pixels."""
    return int(16 * 2 ** (len(vae.config.block_out_channels) - 1))


def points_in(faces: Faces, row: Tensor, crop: Tensor, flip: Tensor) -> Tensor:
    """(n, 5, 2) key points as fractions of what `show` shows, left and right as seen in it; NaN where unknown."""
    points = (_points(faces, row) - crop[:, None, :2]) / crop[:, None, 2:]
    mirrored = torch.stack([1 - points[..., 0], points[..., 1]], dim=-1)[:, MIRRORED]
    return torch.where(flip[:, None, None], mirrored, points)


def random_crops(faces: Faces, row: Tensor, random: torch.Generator, frame: tuple[float, float] = FRAME) -> Tensor:
    """(n, 3) left, top and side, as fractions, of random frames around the faces; whole photos where there is no face.

    Args:
        faces: the photos.
        row: (n,) which of them.
        random: source of randomness.
        frame: smallest and largest side, in face boxes.
    """
    centre, box = _boxes(_points(faces, row))
    side = (box * (frame[0] + (frame[1] - frame[0]) * torch.rand(len(row), generator=random))).clamp(max=1)[:, None]
    moved = centre + side * OFF_CENTRE * (2 * torch.rand(len(row), 2, generator=random) - 1)
    corner = torch.minimum((moved - side / 2).clamp(min=0), 1 - side)
    return torch.cat([corner, side], dim=1).where(~box.isnan()[:, None], torch.tensor([0.0, 0.0, 1.0]))


def _points(faces: Faces, row: Tensor) -> Tensor:
    """(n, 5, 2) key points of photos as fractions; NaN where unknown."""
    return torch.from_numpy(np.array(faces.points[row.numpy()])).float()


def _boxes(points: Tensor) -> tuple[Tensor, Tensor]:
    """Middle (n, 2) and side (n,) of face boxes, as the benchmark's crops know them, in the unit of the key points."""
    ellipse = face_box(points)
    scale = similarity(points, TEMPLATE)[..., 0].norm(dim=-1)
    return (ellipse[:, :2] + ellipse[:, 2:]) / 2, BOX * ALIGNED / scale


def _plan(faces: Faces) -> dict[str, Tensor]:
    """Which views there are: every photo some times, each second view mirrored."""
    random = generator(0, "views")
    kept = (faces.split == "train") | (faces.split == "held")
    times = [
        np.flatnonzero(kept & (faces.source == source)) for source, count in PER_PHOTO.items() for _ in range(count)
    ]
    rows = torch.from_numpy(np.concatenate(times))
    turn = torch.cat([torch.full((len(part),), i) for i, part in enumerate(times)])
    return {
        "row": rows,
        "crop": random_crops(faces, rows, random),
        "flip": turn % 2 == 1,
        "grey": torch.rand(len(rows), generator=random) < GREY,
    }


@torch.no_grad()
def _encoded(faces: Faces, vae: AutoencoderKL, batch: int = 64) -> dict[str, Tensor]:
    plan, latents = _plan(faces), []
    for index in torch.split(torch.arange(len(plan["row"])), batch):
        photos = shrink(show(faces, *(plan[key][index] for key in ("row", "crop", "flip", "grey"))), side_of(vae))
        with autocast():
            latents.append(
                (vae.encode(photos * 2 - 1).latent_dist.mean.float() * vae.config.scaling_factor).half().cpu()
            )
    return {"latents": torch.cat(latents), **plan}
