"""Write `bench/zoo/synthetic/`: people who do not exist, each with 12 photos in the Anti-DreamBooth layout.

One generated face founds a person; its photos are image-to-image variations that the judge takes for the same person.
Run `python -m bench.zoo.make_identities`, after `bench.zoo.make_background`.
"""

from __future__ import annotations

import itertools
import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.data.synthetic import ROOT
from bench.hashing import sha256_file
from bench.images import crop_square, png_bytes, resize, to_pixels, to_tensor
from bench.models.base import Base, randn
from bench.models.checkpoint import locate
from bench.models.judge import Judge
from bench.seeds import derive, generator
from bench.types import Array, Pixels

SEED, STEPS, GUIDANCE, BATCH = 0, 20, 3.0, 32
PEOPLE, PER_SET, SETS = 12, 4, "ABC"
PHOTOS = PER_SET * len(SETS)
KINDS = ("young man", "young woman", "middle-aged man", "middle-aged woman", "old man", "old woman")
KNOWN = (
    (0, "young man"),
    (1, "young woman"),
    (2, "middle-aged man"),
    (9, "middle-aged woman"),
    (16, "old man"),
    (26, "old woman"),
    (28, "young man"),
    (31, "young woman"),
    (53, "middle-aged man"),
    (85, "middle-aged woman"),
    (216, "young man"),
    (272, "middle-aged man"),
)
"""Candidates that an earlier search accepted, in order: most fail, and looking at all again takes long."""
TEMPLATES = ("a photo of a {}", "a dslr portrait of a {}", "a close-up photo of a {}", "a headshot of a {}")
STRENGTHS = (0.6, 0.5, 0.4, 0.3)
"""Shares of the noise schedule redone, boldest first: a milder variation is used only where bolder ones ran out."""
BOLD = STRENGTHS[:2]
"""Strengths that must give at least `PER_SET` of a person's photos."""
CLEAR_FACE = 0.7
"""Least HOG score of a founding face: doubtful detections are the badly generated ones."""
SAME, STRANGER, TWIN = 0.6, 0.5, 0.95
"""Cosines: of a photo to its person at least, of two persons at most, of two photos of one person at most."""
LICENCE = (
    "generated faces of people who do not exist; made with weights trained on UTKFace: non-commercial research only"
)
HOW = "one generated face a person, then image-to-image variations that the judge takes for the same person"


@dataclass(frozen=True)
class Shot:
    """One accepted photo: (64, 64, 3) uint8, its unit descriptor (128,), and what made it."""

    pixels: Pixels
    embedding: Array
    seed: int
    prompt: str
    strength: float


def main() -> None:
    """Invent people until there are enough, save them, and say how well the judge tells them apart."""
    base, judge = Base.load(locate("facelet-1", "zoo")), Judge()
    people: list[list[Shot]] = []
    fresh = ((n, KINDS[n % len(KINDS)]) for n in itertools.count(KNOWN[-1][0] + 1))
    for candidate, kind in itertools.chain(KNOWN, fresh):
        if len(people) == PEOPLE:
            break
        shots = invent(base, judge, kind, candidate, [centre(other) for other in people])
        if shots:
            people.append(shots)
            print(
                f"p{len(people):02} {kind}: candidate {candidate}, strengths {[s.strength for s in shots]}", flush=True
            )
    save(people, base, judge)
    summarise(people)


def invent(base: Base, judge: Judge, kind: str, candidate: int, others: list[Array]) -> list[Shot]:
    """`PHOTOS` photos of one new person, or none: no clear face, too like the `others`, or lost in its variations."""
    founder = found(base, judge, kind, candidate)
    if founder is None or any(founder.embedding @ other >= STRANGER for other in others):
        return []
    shots: list[Shot] = []
    for shot in variations(base, judge, kind, candidate, founder):
        if shot.strength not in BOLD and len(shots) < PER_SET:
            return []  # the rest would be near-copies
        likeness = min(shot.embedding @ founder.embedding, shot.embedding @ centre([founder, *shots]))
        if likeness >= SAME and all(shot.embedding @ other.embedding <= TWIN for other in shots):
            shots.append(shot)
        if len(shots) == PHOTOS:
            break
    whole = len(shots) == PHOTOS and all(shot.embedding @ centre(shots) >= SAME for shot in shots)
    return shots if whole and all(centre(shots) @ other < STRANGER for other in others) else []


def found(base: Base, judge: Judge, kind: str, candidate: int) -> Shot | None:
    """The first face of a person, or None if the judge does not see exactly one clear face."""
    prompt, seed = f"a photo of a {kind}", derive(SEED, "identity", candidate)
    noise = randn((1, *base.latent_shape), generator(SEED, "identity", candidate), base.device)
    picture = to_pixels(base.sample(base.condition([prompt]), noise, STEPS, GUIDANCE))[0]
    faces = judge.find(picture)
    clear = len(faces) == 1 and faces[0].score >= CLEAR_FACE
    return Shot(picture, faces[0].embedding, seed, prompt, 1.0) if clear else None


def variations(base: Base, judge: Judge, kind: str, candidate: int, founder: Shot) -> Iterator[Shot]:
    """Variations with exactly one face, boldest first; lazy, because most people need only the bold ones."""
    prompts = [TEMPLATES[i % len(TEMPLATES)].format(kind) for i in range(BATCH)]
    for strength in STRENGTHS:
        place = (SEED, "variation", candidate, str(strength))
        rng = np.random.default_rng(derive(*place))
        sources = to_tensor([retake(founder.pixels, rng) for _ in range(BATCH)])
        pictures = to_pixels(redraw(base, sources, prompts, strength, generator(*place)))
        for picture, prompt in zip(pictures, prompts, strict=True):
            faces = judge.find(picture)
            if len(faces) == 1:
                yield Shot(picture, faces[0].embedding, derive(*place), prompt, strength)


def retake(pixels: Pixels, rng: np.random.Generator) -> Pixels:
    """The picture mirrored, moved, zoomed and lit a little differently; redrawing then hides the seams."""
    side = len(pixels)
    mirrored = pixels[:, ::-1] if rng.random() < 0.5 else pixels
    half = side / 2 * rng.uniform(0.88, 1.12)
    x, y = side / 2 + rng.uniform(-4, 4, size=2)
    moved = resize(crop_square(Image.fromarray(mirrored), (x - half, y - half, x + half, y + half)), side)
    gain = rng.uniform(0.8, 1.2) * rng.uniform(0.93, 1.07, size=3)
    lit = (moved - 127.5) * rng.uniform(0.8, 1.2) + 127.5
    return np.asarray((lit * gain).clip(0, 255).round(), dtype=np.uint8)


@torch.no_grad()
def redraw(base: Base, photos: Tensor, prompts: list[str], strength: float, noise: torch.Generator) -> Tensor:
    """Image-to-image: photos (n, 3, h, w) in [0, 1], noised to `strength`, denoised by DPM-Solver++."""
    from diffusers import DPMSolverMultistepScheduler

    scheduler = DPMSolverMultistepScheduler.from_config(base.scheduler.config)
    scheduler.set_timesteps(STEPS)
    start = STEPS - round(STEPS * strength)
    scheduler.set_begin_index(start)
    latents = base.encode(photos.to(base.device))
    first = scheduler.timesteps[start].expand(len(photos))
    latents = scheduler.add_noise(latents, randn(latents.shape, noise, base.device), first)

    wanted, empty = base.condition(prompts), base.condition([""]).expand(len(photos))
    for timestep in scheduler.timesteps[start:]:
        conditional, unconditional = (base.predict(latents, timestep, c) for c in (wanted, empty))
        guided = unconditional + GUIDANCE * (conditional - unconditional)
        latents = scheduler.step(guided, timestep, latents).prev_sample
    return base.decode(latents)


def centre(shots: list[Shot]) -> Array:
    """Unit mean descriptor (128,)."""
    mean = np.mean([shot.embedding for shot in shots], axis=0)
    return np.asarray(mean / np.linalg.norm(mean))


def save(people: list[list[Shot]], base: Base, judge: Judge) -> None:
    """Write the photos, dealt to the sets in turn so that bold and mild variations are in all, and the manifest."""
    shutil.rmtree(ROOT, ignore_errors=True)
    files = {}
    for person, shots in enumerate(people, start=1):
        for index, shot in enumerate(shots):
            name = f"p{person:02}/set_{SETS[index % len(SETS)]}/{index // len(SETS):02}.png"
            (ROOT / name).parent.mkdir(parents=True, exist_ok=True)
            (ROOT / name).write_bytes(png_bytes(shot.pixels))
            facts = {"seed": shot.seed, "prompt": shot.prompt, "strength": shot.strength}
            files[name] = {"sha256": sha256_file(ROOT / name), **facts}
    prints = {"model": base.checkpoint.fingerprint, "judge": judge.fingerprint}
    manifest = {"licence": LICENCE, "how": HOW, "seed": SEED, **prints, "files": files}
    (ROOT / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")


def summarise(people: list[list[Shot]]) -> None:
    """Print cosines within and between people."""
    embeddings = np.stack([shot.embedding for shots in people for shot in shots])
    owner = np.repeat(np.arange(len(people)), PHOTOS)
    rows, columns = np.triu_indices(len(owner), k=1)
    cosines, same = (embeddings @ embeddings.T)[rows, columns], owner[rows] == owner[columns]
    genuine, impostor = cosines[same], cosines[~same]
    threshold = np.quantile(impostor, 0.99)
    centres = np.stack([centre(shots) for shots in people])
    between = (centres @ centres.T)[np.triu_indices(len(people), k=1)]
    print(f"same person: mean {genuine.mean():.3f}, least {genuine.min():.3f}, most {genuine.max():.3f}")
    print(f"strangers: mean {impostor.mean():.3f}, 99 % quantile {threshold:.3f}")
    print(f"same-person pairs above it: {(genuine > threshold).mean():.1%}; nearest two people {between.max():.3f}")


if __name__ == "__main__":
    main()
