"""Train the image encoder that adapters look through: photos to one embedding of what they show, as CLIP's tower.

`python -m bench.zoo.train.image_encoder`. There are no captions to learn from, so the embedding is asked directly for
what CLIP's is known to carry: who it is (dlib's descriptor), age and gender, and how the photo looks (a thumbnail).
It sees whole photos and aligned faces, as adapters show it both.
"""

from __future__ import annotations

import copy
from pathlib import Path

import hydra
import numpy as np
import torch
import torch.nn.functional as F
from omegaconf import DictConfig
from torch import Tensor, nn
from transformers import CLIPImageProcessor, CLIPVisionConfig, CLIPVisionModelWithProjection

from bench.models.faces.alignment import ALIGNED, TEMPLATE, compose, similarity, warp
from bench.zoo.train.augment import cut_hole, jitter, on, relight, soften, some, take
from bench.zoo.train.embeddings import tower_pixels
from bench.zoo.train.identity import Teacher
from bench.zoo.train.loop import Part, Schedule, train
from bench.zoo.train.photos import SIDE, Faces
from bench.zoo.train.precision import autocast, device
from bench.zoo.train.views import random_crops, show
from bench.zoo.verification import at_most, true_accept_rate

SEEN = 96
"""Side of what the tower sees, pixels: in the time for 128, it learns from twice as many photos."""
FACES = 0.6
"""Share of aligned faces; the rest are whole photos."""
PROJECTION = 256
THUMBNAIL = 16
"""Side of the thumbnail, pixels."""
AGE = (45.0, 20.0)
"""Mean and spread of ages, years."""
ATTRIBUTES = 0.2
LOOK = 4.0
"""Weights of the attributes and of the thumbnail beside identity."""


class ImageEncoder(Part):
    """The image encoder on the training photos."""

    def __init__(self, photos: Path) -> None:
        faces = Faces.load(photos)
        self._faces, self._pixels = faces, faces.pixels
        self._descriptors = torch.from_numpy(np.array(faces.descriptors)).float().to(device())
        self._age = (torch.from_numpy(faces.age).float().to(device()) - AGE[0]) / AGE[1]
        self._woman = torch.from_numpy((faces.gender == "woman").astype(np.float32)).to(device())
        self._described = torch.from_numpy(faces.age >= 0).to(device())
        self._to_face = similarity(torch.from_numpy(np.array(faces.points)).float() * SIDE, TEMPLATE)
        self._train = torch.from_numpy((faces.split == "train").nonzero()[0])
        held = (faces.split == "held").nonzero()[0]
        self._held = torch.from_numpy(held[at_most(faces.person[held], 10)])
        self._person = faces.person

        background = self._descriptors[self._train].nanmean(dim=0)
        self.module = nn.ModuleDict(
            {
                "encoder": build(),
                "identity": Teacher(PROJECTION, background, relation=0.0),
                "attributes": nn.Linear(PROJECTION, 2),
                "thumbnail": nn.Sequential(
                    nn.Linear(PROJECTION, 512), nn.GELU(), nn.Linear(512, 3 * THUMBNAIL**2), nn.Sigmoid()
                ),
            }
        )

    def loss(self, count: int, random: torch.Generator) -> Tensor:
        pick = self._train[torch.randint(len(self._train), (count,), generator=random)]
        photos = relight(self._shown(pick, random), random)
        with autocast():
            embeddings = self._embed(cut_hole(on(some(count, 0.5, random), photos, soften, random), random))
        known, described = ~self._descriptors[pick, 0].isnan(), self._described[pick]
        age, woman = self.module["attributes"](embeddings[described]).unbind(-1)
        return (  # type: ignore[no-any-return]
            self.module["identity"](embeddings[known], self._descriptors[pick][known])
            + ATTRIBUTES * F.smooth_l1_loss(age, self._age[pick][described])
            + ATTRIBUTES * F.binary_cross_entropy_with_logits(woman, self._woman[pick][described])
            + LOOK * F.l1_loss(self._thumbnails(embeddings), _shrink(photos))
        )

    def report(self) -> str:
        batches = (take(self._pixels, rows) for rows in torch.split(self._held, 128))
        pairs = [(self._embed(photos), _shrink(photos)) for photos in batches]
        embeddings, small = (torch.cat(parts) for parts in zip(*pairs, strict=True))
        error = (self._thumbnails(embeddings) - small).square().mean(dim=(1, 2, 3))
        described = self._described[self._held]
        age, woman = self.module["attributes"](embeddings[described]).unbind(-1)
        age_error = AGE[1] * (age - self._age[self._held][described]).abs().mean()
        right = ((woman > 0) == (self._woman[self._held][described] > 0)).float().mean()
        named = self._held[~described.cpu()]
        faces = torch.cat([self._embed(self._aligned(rows, None)) for rows in torch.split(named, 128)])
        whole, aligned = (self._told_apart(who, named) for who in (embeddings[~described], faces))
        return (
            f"thumbnails {(-10 * error.log10()).mean():.2f} dB, age off by {age_error:.1f} years, gender {right:.3f}, "
            f"true accepts at 1 % false accepts {whole:.3f}, of aligned faces {aligned:.3f}"
        )

    def grid(self) -> Tensor:
        photos = take(self._pixels, self._held[:: len(self._held) // 16][:16])
        shown = F.interpolate(self._thumbnails(self._embed(photos)), size=(SIDE, SIDE))
        return torch.cat([photos[:8], shown[:8], photos[8:], shown[8:]])

    def export(self, folder: Path) -> None:
        copy.deepcopy(self.module["encoder"]).half().save_pretrained(folder / "image_encoder")
        CLIPImageProcessor(size=SEEN, crop_size=SEEN).save_pretrained(folder / "image_encoder")

    def _shown(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """(n, 3, 128, 128) in [0, 1]: crops of the photos, or their faces, at random."""
        count = len(rows)
        crop, flip = random_crops(self._faces, rows, random), some(count, 0.5, random)
        shown = show(self._faces, rows, crop, flip, some(count, 0.0, random))
        faces = some(count, FACES, random) & ~self._to_face[rows, 0, 0].isnan()
        shown[faces] = self._aligned(rows[faces], random)
        return shown

    def _aligned(self, rows: Tensor, random: torch.Generator | None) -> Tensor:
        """(n, 3, 128, 128) in [0, 1]: aligned faces, a little out of place if random."""
        matrix = self._to_face[rows]
        if random is not None:
            matrix = compose(matrix, jitter(len(rows), ALIGNED, random))
        grown = torch.eye(2, 3) * SIDE / ALIGNED
        return warp(take(self._pixels, rows), compose(matrix, grown.expand_as(matrix)).to(device()), SIDE)

    def _told_apart(self, embeddings: Tensor, rows: Tensor) -> float:
        identity = self.module["identity"].linear(embeddings).double().cpu().numpy()
        return true_accept_rate(identity, self._person[rows.numpy()])

    def _embed(self, photos: Tensor) -> Tensor:
        return self.module["encoder"](tower_pixels(photos, SEEN)).image_embeds.float()  # type: ignore[no-any-return]

    def _thumbnails(self, embeddings: Tensor) -> Tensor:
        return self.module["thumbnail"](embeddings).unflatten(-1, (3, THUMBNAIL, THUMBNAIL))  # type: ignore[no-any-return]


def _shrink(photos: Tensor) -> Tensor:
    """(n, 3, 128, 128) -> (n, 3, 16, 16)."""
    return F.avg_pool2d(photos, SIDE // THUMBNAIL)


def build() -> CLIPVisionModelWithProjection:
    """A small stock CLIP vision tower."""
    return CLIPVisionModelWithProjection(
        CLIPVisionConfig(
            hidden_size=192,
            intermediate_size=768,
            projection_dim=PROJECTION,
            num_hidden_layers=5,
            num_attention_heads=6,
            image_size=SEEN,
            patch_size=16,
        )
    )


@hydra.main(version_base=None, config_path="conf", config_name="image_encoder")
def main(config: DictConfig) -> None:
    """Train the image encoder of the configuration."""
    torch.manual_seed(config.schedule.seed)
    train(ImageEncoder(Path(config.photos)), Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
