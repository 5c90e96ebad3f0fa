"""Write `bench/zoo/synthetic/`: people who do not exist, each with 12 photos in the Anti-DreamBooth layout.

A person is a point in the space of dlib's descriptors, drawn from a normal distribution fitted to the training people
and far from all of them. A generator trained on descriptors (`bench.zoo.train.person`, not one of the attacks) draws
the person's photos; the judge keeps those that show the person and are not copies of each other.

Run `python -m bench.zoo.make_identities`, after `bench.zoo.train.person` and `bench.zoo.make_background`.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import torch
from omegaconf import DictConfig
from PIL import Image

from bench.config.schema import shipped_model
from bench.core.hashing import sha256_file
from bench.core.images import crop_square, png_bytes, resize, to_pixels
from bench.core.seeding import derive, generator
from bench.core.types import Array, Pixels
from bench.data.synthetic import ROOT
from bench.models.diffusion.loading import load_base
from bench.models.faces.dlib_recogniser import DlibRecogniser
from bench.models.weights.checkpoint import locate
from bench.zoo.train.person import People, Sampler
from bench.zoo.train.photos import Faces
from metrics.identity import centroid

SEED, PEOPLE, PER_SET, SETS = 0, 24, 4, "ABC"
PHOTOS = PER_SET * len(SETS)
SCOUTS, TRIES = 16, 64
"""Pictures drawn of a candidate for a first look, and of one that passes it."""
KNOWN = 0.7
"""Share of a candidate's pictures that must show one face, the person's: who is hard to draw is no use."""
GUIDANCE = 3.0
"""Of the generator of people."""
PROMPTS = ("a photo of a person", "a dslr portrait of a person", "a portrait of a person", "a picture of a person")
DIRECTIONS = 40
"""Principal directions of the descriptors in which people are drawn; the rest is close to noise."""
SAME, TWIN = 0.75, 0.95
"""Cosines: of a photo to the mean of the person's photos at least; of two photos of one person at most."""
BASE_PICTURES, BASE_PASSES = 128, 0.05
"""Of the base's pictures of nobody in particular, at most this share may pass for an invented person."""
LICENCE = (
    "generated faces of people who do not exist; made with weights trained on UTKFace, CelebA and LFW: "
    "non-commercial research only"
)
HOW = "a random identity descriptor a person, drawn by a descriptor-conditioned generator, chosen by the judge"


@dataclass(frozen=True, eq=False)
class Shot:
    """One accepted photo: (128, 128, 3) uint8, its unit descriptor (128,), and what made it."""

    pixels: Pixels
    embedding: Array
    seed: int
    prompt: str


@hydra.main(version_base=None, config_path="train/conf", config_name="identities")
def main(config: DictConfig) -> None:
    """Invent people until there are enough, save them, and say how well the judge tells them apart."""
    torch.set_grad_enabled(False)
    sampler, judge, known = Sampler(Path(config.generator)), DlibRecogniser(), People(Faces.load(Path(config.photos)))
    entry = Entry.of(known, base_faces(judge))
    print(f"nearer to no training photo than {entry.copy:.3f}, and to no other person than {entry.alike:.3f}")
    people: list[list[Shot]] = []
    for candidate in itertools.count():
        if len(people) == PEOPLE:
            break
        may_enter = partial(entry.open_to, others=[centre(other) for other in people])
        shots = invent(sampler, judge, known, candidate, may_enter)
        if shots:
            people.append(shots)
            print(f"p{len(people):02}: candidate {candidate}", flush=True)
    save(people, judge, sampler.fingerprint)
    summarise(people, known)


@dataclass(frozen=True)
class Entry:
    """Who may be one of the invented people.

    Attributes:
        known: the training people.
        base: descriptors (n, 128) of the base's pictures of nobody in particular.
        copy: cosine to any training photo that a person must stay below: what nine in ten real people stay below.
        alike: cosine to any other of the people, likewise: what 1 in 200 pairs of strangers reach.
        passes: cosine that 1 in 100 pairs of strangers reach, at which a picture passes for a person.
    """

    known: People
    base: Array
    copy: float
    alike: float
    passes: float

    @classmethod
    def of(cls, known: People, base: Array) -> Entry:
        return cls(known, base, known.usual(0.9), known.strangers(0.995), known.strangers(0.99))

    def open_to(self, who: Array, others: Sequence[Array]) -> bool:
        """Whether a person is unlike every training photo, the base's own faces and every other invented person."""
        by_chance = float((self.base @ who > self.passes).mean())
        new = self.known.nearest(who) < self.copy and by_chance <= BASE_PASSES
        return new and all(who @ other < self.alike for other in others)


def base_faces(judge: DlibRecogniser) -> Array:
    """Descriptors (n, 128) of faces that the base draws, as runs have it draw, when it is told nobody."""
    base, model = load_base(locate("facelet-1", "zoo")), shipped_model("facelet-1")
    random, found = generator(SEED, "base"), []
    for _ in range(BASE_PICTURES // 32):
        noise = torch.randn(32, *base.latent_shape, generator=random)
        pictures = base.sample(base.condition(["a photo of person"] * 32), noise, model.steps, model.guidance)
        found += [face.embedding for picture in to_pixels(pictures) for face in judge.find(picture)[:1]]
    return np.stack(found)


def invent(
    sampler: Sampler, judge: DlibRecogniser, known: People, candidate: int, may_enter: Callable[[Array], bool]
) -> list[Shot]:
    """`PHOTOS` photos of one new person, or none."""
    place = (SEED, "identity", candidate)
    random, rng = generator(*place), np.random.default_rng(derive(*place))
    who = known.draw(DIRECTIONS, random)
    drawn, shots, shown = 0, list[Shot](), list[Shot]()
    for count in (SCOUTS, TRIES - SCOUTS):
        prompts = [PROMPTS[i % len(PROMPTS)] for i in range(count)]
        pictures = [retake(p, rng) for p in to_pixels(sampler.draw(prompts, who, random, GUIDANCE))]
        for picture, prompt in zip(pictures, prompts, strict=True):
            faces = judge.find(picture)
            shots += [Shot(picture, face.embedding, derive(*place), prompt) for face in faces if len(faces) == 1]
        drawn += count
        shown = near_the_mean(shots)
        if len(shown) < KNOWN * drawn or not may_enter(centre(shots)):
            return []
    chosen = choose(shown)
    return chosen if len(chosen) == PHOTOS and may_enter(centre(chosen)) else []


def near_the_mean(shots: list[Shot]) -> list[Shot]:
    """Those that show the person."""
    if not shots:
        return []
    middle = centre(shots)
    return [shot for shot in shots if shot.embedding @ middle >= SAME]


def choose(shots: list[Shot]) -> list[Shot]:
    """Up to `PHOTOS` shots, no two nearly the same.

    They come in the order drawn, not the best first: a person should not look the same in all photos.
    """
    chosen: list[Shot] = []
    for shot in shots:
        if len(chosen) < PHOTOS and all(shot.embedding @ other.embedding <= TWIN for other in chosen):
            chosen.append(shot)
    return chosen


def retake(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture mirrored, moved, zoomed and lit a little differently."""
    side = len(pixels)
    mirrored = pixels[:, ::-1] if rng.random() < 0.5 else pixels
    half = side / 2 * rng.uniform(0.9, 1.0)
    x, y = side / 2 + rng.uniform(-1, 1, size=2) * (side / 2 - half)
    moved = resize(crop_square(Image.fromarray(mirrored), (x - half, y - half, x + half, y + half)), side)
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, size=3)
    lit = (moved - 127.5) * rng.uniform(0.85, 1.15) + 127.5
    return np.asarray((lit * gain).clip(0, 255).round(), dtype=np.uint8)


def centre(shots: list[Shot]) -> Array:
    """Unit mean descriptor (128,)."""
    return centroid(np.stack([shot.embedding for shot in shots]))


def save(people: list[list[Shot]], judge: DlibRecogniser, model: str) -> None:
    """Write the photos, dealt to the sets in turn, and the manifest."""
    shutil.rmtree(ROOT, ignore_errors=True)
    files: dict[str, Any] = {}
    for person, shots in enumerate(people, start=1):
        for index, shot in enumerate(shots):
            name = f"p{person:02}/set_{SETS[index % len(SETS)]}/{index // len(SETS):02}.png"
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_bytes(png_bytes(shot.pixels))
            files[name] = {"sha256": sha256_file(ROOT / name), "seed": shot.seed, "prompt": shot.prompt}
    made_with = {"seed": SEED, "model": model, "judge": judge.fingerprint}
    manifest = {"licence": LICENCE, "how": HOW, **made_with, "files": files}
    (ROOT / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def summarise(people: list[list[Shot]], known: People) -> None:
    """Print cosines within and between people, and to the training photos."""
    embeddings = np.stack([shot.embedding for shots in people for shot in shots])
    owner = np.repeat(np.arange(len(people)), PHOTOS)
    rows, columns = np.triu_indices(len(owner), k=1)
    cosines, same = (embeddings @ embeddings.T)[rows, columns], owner[rows] == owner[columns]
    genuine, impostor = cosines[same], cosines[~same]
    threshold = np.quantile(impostor, 0.99)
    centres = np.stack([centre(shots) for shots in people])
    between = (centres @ centres.T)[np.triu_indices(len(people), k=1)]
    copies = max(known.nearest(c) for c in centres)
    print(f"same person: mean {genuine.mean():.3f}, least {genuine.min():.3f}, most {genuine.max():.3f}")
    print(f"strangers: mean {impostor.mean():.3f}, 99 % quantile {threshold:.3f}")
    print(f"same-person pairs above it: {(genuine > threshold).mean():.1%}; nearest two people {between.max():.3f}")
    print(f"nearest training photo {copies:.3f}; one in ten real people has one at {known.usual(0.9):.3f}")
    rare = known.strangers(0.999)
    photos = np.mean([known.share_above(e, rare) for e in embeddings])
    print(f"pairs with a training photo above what 1 in 1000 unrelated pairs reach: {photos:.2%}")


if __name__ == "__main__":
    main()
