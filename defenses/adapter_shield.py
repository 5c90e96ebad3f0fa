"""Adapter Shield (Jia et al., "Adapter Shield: a unified framework with built-in authentication for preventing
unauthorized zero-shot image-to-image generation", CVPR 2026), by the authors of DLADiff.

Idea: a password turns what an encoder reads in a photo into another embedding, unlike it, from which only the password
leads back. The photo is then changed until the encoders read just that: an adapter generates somebody else, and the
owner's friends, who have the password, the person.
Attacks: zero-shot adapters. Published budget: 11 (faces). Cost per photo: no UNet pass; steps passes of each encoder.

No code is published, and the paper was read in a summary. From it: the sum of the cosines to the encrypted embeddings
over several encoders (ArcFace's for faces), signed steps, distortions such as noise and blur in the loop, and that it
ends at a similarity of 0.75. Open there, and ours: the number and size of the steps, the strengths of noise and blur,
and that a photo is finished when all encoders are there.

Different from the paper: its encryptor and decryptor are networks, trained for each encoder on many faces, so that the
encrypted embedding is unlike the original and differs between passwords and photos. Here a password, drawn anew for
each photo, permutes the embedding's entries and turns the signs of some. That has the same properties, and leads back
exactly, without training; nothing here decrypts, for the benchmark asks what those see who have no password. As in
`dladiff`, the alignment is shaken a little.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

import torch
from torch import Tensor

from bench.core.ranges import Count, Range, Sigma, StepLevels
from bench.models.diffusion.devices import randn
from defenses import Context, Defense
from defenses.encoders import (
    FACELET,
    OFFICIAL,
    Faces,
    encoder_folder,
    face_similarity,
    fingerprints,
    packs,
    photo_similarity,
)
from defenses.pgd import pgd
from defenses.transforms import blur

NOISE = 0.05
"""Largest standard deviation of the noise in the loop, of values in [0, 1]."""
BLUR = (0.1, 2.0)
"""Smallest and largest standard deviation of the blur in the loop, in pixels of a photo of 512."""


@dataclass(frozen=True)
class AdapterShield(Defense):
    """Adapter Shield: make encoders read an encrypted embedding, through noise and blur.

    Attributes:
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        recognisers: packs that shall read encrypted embeddings; the first also finds the faces.
        image_encoders: folders of CLIP image encoders that shall, too; "zoo" is the embedded IP-Adapter's. The paper
            has them for paintings, with a budget of 21 and a threshold of 0.65.
        steps: the most steps of the cloak.
        step: size of a step in grey levels.
        threshold: similarity to the encrypted embeddings at which a photo is finished (published: 0.75).
        distort: whether noise and blur are in the loop, as published.
        sigma: noise of the alignment, of its entries with the face as [-1, 1].
    """

    paper: ClassVar[str] = "CVPR 2026, arXiv 2512.00075"
    loop: ClassVar[str] = "steps"
    needs_surrogate: ClassVar[bool] = False

    preset: str = "auto"
    recognisers: tuple[str, ...] | None = None
    image_encoders: tuple[str, ...] = ()
    steps: Count | None = None
    step: StepLevels = 0.5
    threshold: Annotated[float, Range(ge=-1, le=1, unit="a cosine similarity")] = 0.75
    distort: bool = True
    sigma: Sigma = 0.003

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {"recognisers": OFFICIAL, "steps": 200},
        "facelet": {"recognisers": FACELET["recognisers"], "steps": 100},
    }

    def files(self) -> dict[str, str]:
        return fingerprints(self.recognisers or (), self.image_encoders)

    def evaluations(self, turns: int) -> float:
        return turns  # of each encoder, if no photo is finished before

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        sources, generator = packs(self.recognisers), context.generator
        faces = Faces.found(photos, sources[0])

        def aim(embeddings: Tensor) -> Tensor:
            return encrypted(embeddings, generator)

        similarities = [face_similarity(photos, faces, sources, self.sigma, generator, aim)]
        if self.image_encoders:
            folders = [encoder_folder(source) for source in self.image_encoders]
            similarities.append(photo_similarity(photos, folders, aim))

        def closeness(candidates: Tensor) -> Tensor:
            """Sum of the similarities of photos that are not finished (Stage 2's loss, but for a constant)."""
            seen = distorted(candidates, generator) if self.distort else candidates
            cosines = torch.cat([similarity(seen) for similarity in similarities])
            unfinished = (cosines < self.threshold).any(dim=0).detach()
            return (cosines.sum(dim=0) * unfinished).sum()

        steps = int(self.steps or 0)
        return pgd(photos, photos, closeness, context.budget, self.step, steps, progress=context.progress)


def encrypted(embeddings: Tensor, generator: torch.Generator) -> Tensor:
    """Each embedding (n, dim) under a password of its own: its entries in another order, each negated or not.

    Orthogonal, so of the same length, and of a cosine with the original that is 0 on average, with a standard deviation
    of 1 / sqrt(dim).
    """
    order = torch.stack([torch.randperm(embeddings.shape[1], generator=generator) for _ in embeddings])
    signs = torch.randint(0, 2, embeddings.shape, generator=generator) * 2 - 1
    return embeddings.gather(1, order.to(embeddings.device)) * signs.to(embeddings)


def distorted(photos: Tensor, generator: torch.Generator) -> Tensor:
    """Photos (n, 3, h, w) as they are, with noise, or blurred, each a third of the time and at a random strength."""
    kind, strength = int(torch.randint(3, (), generator=generator)), float(torch.rand((), generator=generator))
    if kind == 1:
        return photos + strength * NOISE * randn(photos.shape, generator, photos.device)
    if kind == 2:
        sigma = BLUR[0] + strength * (BLUR[1] - BLUR[0])
        return blur(photos, sigma * photos.shape[-1] / 512, radius=3)
    return photos
