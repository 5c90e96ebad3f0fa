"""Train the generator of people: the base, with the person's dlib descriptor as a further condition.

`python -m bench.zoo.train.person`. It makes the synthetic identities (`bench.zoo.make_identities`), and is neither
shipped nor an attack: the whole UNet is trained, and the descriptor enters with the time embedding, as no adapter does.
The training is the adapters' own (a zero descriptor is nobody); recognisers, not the judge, say whom a picture shows.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel
from omegaconf import DictConfig
from torch import Tensor, nn

from bench.core.hashing import hash_of, sha256_file
from bench.core.types import Array
from bench.zoo.train.adapter import Adapter
from bench.zoo.train.base import Diffusion, denoised, pictures
from bench.zoo.train.loop import Schedule, train
from bench.zoo.train.photos import Faces
from bench.zoo.train.precision import plain_attention
from bench.zoo.train.sampling import Predict
from metrics.identity import centroid

WIDTH = 128
"""Of dlib's descriptor."""
OTHER_PHOTO = 0.7
"""Share of examples whose descriptor comes from another photo of the person, where there is one."""


class Portrait(Adapter):
    """A base that is also told whom to show; all of it is trained.

    Args:
        shared: see `Adapter`. A base that has been told already goes on from what it knows.
    """

    def __init__(self, **shared: Any) -> None:
        super().__init__(**shared)
        self._unet = self.module["unet"] = with_person(self._unet)
        plain_attention(self._unet)
        self._unet.requires_grad_(True)

    @cached_property
    def _people(self) -> People:
        return People(self._views.faces)

    def _usable(self) -> Tensor:
        known = torch.from_numpy(~np.isnan(self._views.faces.descriptors[:, 0]))
        return super()._usable() & known[self._views.row]

    def _predict(
        self, noised: Tensor, timesteps: Tensor, hidden: Tensor, rows: Tensor, random: torch.Generator
    ) -> Tensor:
        who = self._people.descriptors(self._views.row[rows], random)
        return self._answer(noised, timesteps, hidden, who * self._present(len(rows), random)[:, None])

    def _asked(self, rows: Tensor, random: torch.Generator) -> tuple[Predict, Predict]:
        who = self._people.descriptors(self._views.row[rows], random)
        hidden, empty = self._states(self._prompts(len(rows), random)), self._states([""] * len(rows))

        return (
            partial(self._answer, hidden=hidden, who=who),
            partial(self._answer, hidden=empty, who=torch.zeros_like(who)),
        )

    def _answer(self, noised: Tensor, timesteps: Tensor, hidden: Tensor, who: Tensor) -> Tensor:
        """The UNet's prediction for pictures of people with descriptors (n, 128)."""
        predicted: Tensor = self._unet(noised, timesteps, hidden, class_labels=who.to(noised), return_dict=False)[0]
        return predicted

    export = Diffusion.export


class People:
    """The training people in the space of dlib's descriptors.

    Descriptors given to the generator are centred, of unit length, times the square root of their width, so that their
    entries are about 1.
    """

    def __init__(self, faces: Faces) -> None:
        self.background: Array = np.nanmean(faces.descriptors, axis=0)
        known = ~np.isnan(faces.descriptors[:, 0])
        centred = faces.descriptors - self.background
        self._unit = np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))
        _, self._person = np.unique(faces.person, return_inverse=True)
        order = np.argsort(self._person, kind="stable")
        self._order = order[known[order]]
        self._start = np.searchsorted(self._person[self._order], np.arange(self._person.max() + 2))
        self._named = faces.source != "utkface_adults"
        self._unseen = np.unique(self._person[known & (faces.split == "held") & (faces.source == "lfw")])

    def descriptors(self, rows: Tensor, random: torch.Generator) -> Tensor:
        """(n, 128): each photo's own descriptor, or that of another photo of the same person."""
        person = self._person[rows.numpy()]
        first, count = self._start[person], self._start[person + 1] - self._start[person]
        turn = torch.rand(len(rows), generator=random).numpy() * count
        other = self._order[first + turn.astype(int)]
        own = torch.rand(len(rows), generator=random).numpy() >= OTHER_PHOTO
        return scaled(self._unit[np.where(own, rows.numpy(), other)])

    def draw(self, directions: int, random: torch.Generator) -> Array:
        """A new person: a unit descriptor (128,), normal along the training photos' first principal directions."""
        mean, spread, axes = self._normal
        drawn = torch.randn(directions, generator=random).numpy()
        who = mean + (drawn * spread[:directions]) @ axes[:directions]
        return np.asarray(who / np.linalg.norm(who))

    def nearest(self, who: Array) -> float:
        """Largest cosine of a unit descriptor (128,) to any training photo."""
        return float((self._unit[self._order] @ who).max())

    def share_above(self, who: Array, cosine: float) -> float:
        """Share of the training photos that are nearer to a unit descriptor (128,) than a cosine."""
        return float((self._unit[self._order] @ who > cosine).mean())

    def strangers(self, share: float, pairs: int = 200_000) -> float:
        """The cosine that a `share` of random pairs of photos of different people stay below."""
        rng = np.random.default_rng(0)
        left, right = rng.choice(self._order, (2, pairs))
        apart = self._person[left] != self._person[right]
        return float(np.quantile((self._unit[left] * self._unit[right]).sum(axis=1)[apart], share))

    def usual(self, share: float, photos: int = 4) -> float:
        """The `nearest` that a `share` of real people stay below: of all with `photos` photos that no training sees.

        A person is the mean of the photos, and only photos with names count, or the person might be among the others.
        The nearest of so many strangers is nearer than a random one by far: half of the real people are nearer to
        somebody than 998 of 1,000 random pairs are.
        """
        nearest = []
        for person in self._unseen:
            start, end = self._start[person : person + 2]
            if end - start >= photos:
                own, others = self._order[start:end], np.delete(self._order, np.s_[start:end])
                named = others[self._named[others]]
                nearest.append((self._unit[named] @ centroid(self._unit[own])).max())
        return float(np.quantile(nearest, share))

    @cached_property
    def _normal(self) -> tuple[Array, Array, Array]:
        """Mean, standard deviations and principal axes of the photos' descriptors."""
        photos = self._unit[self._order]
        _, singular, axes = np.linalg.svd(photos - photos.mean(axis=0), full_matrices=False)
        return photos.mean(axis=0), singular / len(photos) ** 0.5, axes


def scaled(unit: Array) -> Tensor:
    """Unit descriptors as the generator takes them."""
    descriptors: Tensor = torch.from_numpy(unit).float() * float(WIDTH**0.5)
    return descriptors


class Sampler:
    """Draws pictures of a descriptor with a trained generator."""

    def __init__(self, folder: Path) -> None:
        self._pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32, safety_checker=None)
        self.fingerprint = hash_of([sha256_file(f) for f in sorted(folder.rglob("*.safetensors"))])

    @torch.no_grad()
    def draw(self, prompts: Sequence[str], who: Array, random: torch.Generator, guidance: float = 3.0) -> Tensor:
        """(n, 3, 128, 128) in [0, 1]: one picture per prompt of the person with unit descriptor `who` (128,).

        DPM-Solver++, 20 steps; guidance away from the empty prompt and nobody.
        """
        pipeline = self._pipeline
        hidden = torch.cat(pipeline.encode_prompt(list(prompts), "cpu", 1, True, [""] * len(prompts)))
        wanted = scaled(who).expand(len(prompts), -1)
        labels = torch.cat([wanted, torch.zeros_like(wanted)])
        noise = torch.randn(len(prompts), *_latent(pipeline), generator=random)

        def predict(latents: Tensor, t: Tensor) -> Tensor:
            answer: Tensor = pipeline.unet(latents, t, hidden, class_labels=labels).sample
            return answer

        return pictures(pipeline.vae, denoised(predict, noise, pipeline.scheduler.config, guidance))


def _latent(pipeline: StableDiffusionPipeline) -> tuple[int, int, int]:
    side = pipeline.unet.config.sample_size
    return pipeline.unet.config.in_channels, side, side


def with_person(base: UNet2DConditionModel) -> UNet2DConditionModel:
    """The same UNet with a projection of a descriptor added to the time embedding; it starts at zero.

    One that has the projection already is returned as it is.
    """
    if base.class_embedding is not None:
        return base
    config = {**base.config, "class_embed_type": "projection", "projection_class_embeddings_input_dim": WIDTH}
    unet = UNet2DConditionModel.from_config(config)
    missing = unet.load_state_dict(base.state_dict(), strict=False).missing_keys
    assert all(key.startswith("class_embedding.") for key in missing), missing
    nn.init.zeros_(unet.class_embedding.linear_2.weight)
    nn.init.zeros_(unet.class_embedding.linear_2.bias)
    return unet


@hydra.main(version_base=None, config_path="conf", config_name="person")
def main(config: DictConfig) -> None:
    """Train the generator of the configuration."""
    torch.manual_seed(config.schedule.seed)
    train(Portrait(**config.adapter), Schedule(**config.schedule), Path(config.out))


if __name__ == "__main__":
    main()
