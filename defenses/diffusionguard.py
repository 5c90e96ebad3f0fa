"""DiffusionGuard (Choi et al., "DiffusionGuard: a robust defense against malicious diffusion-based image editing", ICLR
2025).

Idea: an edit is decided early. Make the noise that the model predicts in its very first step large, so that all that
follow start wrong; and, where editors mask photos, do so through masks of random shape, since nobody knows which
part of the face theirs will keep.
Attacks: inpainting and editing. Published budget: 8. Cost per photo: as many UNet passes as steps: 800 as published.

As the released code has it: the norm of the first prediction, without a caption, and signed steps of half a grey level
from the clean photo. With `mask=contour_shrink`, its default, also one mask a step, and no change outside the face.

Different from the released code: the bases of this benchmark are no inpainting models, which see the photo beside pure
noise. These see the photo with noise, as at the start of SDEdit. At the released timestep, three quarters up the
schedule, that leaves a quarter of the photo. So an edit starts half-way up: on an invented person, that raised the
first prediction at three quarters just as far, and the denoising loss half as far again. None of the
attacks here masks a photo, so the default is that code's mode for whole photos, `mask=global`. A face to be masked is
not read from a file: it is an ellipse in its aligned crop, shrunk by another share in each of 16 directions, not by
moving the points of a drawn contour. All photos go in one batch.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor

from bench.core.ranges import Count, SomeShare, StepLevels
from bench.models.diffusion.base import DiffusionModel
from bench.models.faces.alignment import FACE_CENTRE, FACE_RADII, move
from bench.models.faces.embedder import alignment
from bench.models.faces.insightface import locate_pack
from defenses import Context, Defense
from defenses.encoders import Faces
from defenses.objectives import caption, denoise
from defenses.pgd import Objective, pgd

DIRECTIONS = 16
"""In which a mask is shrunk."""


@dataclass(frozen=True)
class DiffusionGuard(Defense):
    """DiffusionGuard: make the first prediction of an edit large, of whole photos or of any part of the face.

    Attributes:
        mask: "global" takes the whole photo; "contour_shrink" shows a part of the face, another one at each step, and
            changes nothing outside the face, but the whole photo where no face is found (published).
        preset: "auto" picks "facelet" for the embedded models and "published" for others.
        detector: pack that finds the faces to mask.
        steps: steps of the cloak (published: 800).
        step: size of a step in grey levels (published: 0.5).
        strength: share of the schedule at which an edit starts (published: 0.75, of an inpainting).
    """

    paper: ClassVar[str] = "ICLR 2025, arXiv 2410.05694"
    loop: ClassVar[str] = "steps"

    mask: Literal["global", "contour_shrink"] = "global"
    preset: str = "auto"
    detector: str | None = None
    steps: Count | None = None
    step: StepLevels = 0.5
    strength: SomeShare = 0.5

    presets: ClassVar[dict[str, dict[str, Any]]] = {
        "published": {"detector": "buffalo_l", "steps": 800},
        "facelet": {"detector": "facelet-id-a", "steps": 200},
    }

    def resolved(self, family: str) -> Self:
        made = super().resolved(family)
        return made if self.mask == "contour_shrink" else replace(made, detector=None)  # it needs none

    def files(self) -> dict[str, str]:
        return {} if self.detector is None else {"detector": locate_pack(self.detector).fingerprint}

    def evaluations(self, turns: int) -> float:
        return turns

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        first = first_prediction(context.surrogates[0], len(photos), self.strength, context.generator)
        objective = first
        if self.mask == "contour_shrink":
            faces = Faces.found(photos, locate_pack(str(self.detector)))
            masks = shrinking_masks(faces, photos, context.generator)

            def objective(candidates: Tensor) -> Tensor:
                kept = masks()
                return first(candidates * kept + 0.5 * (1 - kept))

        steps = int(self.steps or 0)
        return pgd(photos, photos, objective, context.budget, self.step, steps, progress=context.progress)


def first_prediction(base: DiffusionModel, count: int, strength: float, generator: torch.Generator) -> Objective:
    """Mean over photos of the norm of the noise that is predicted in an edit's first step, without a caption."""
    condition = caption(base, "", count)
    start = torch.full((count,), round(strength * (base.length - 1)), device=base.device)

    def norm(photos: Tensor) -> Tensor:
        seen = denoise(base, photos, condition, generator, lambda: start)
        noise = base.predict_noise(seen.noised, seen.predicted, seen.timesteps)
        sizes: Tensor = torch.linalg.vector_norm(noise, dim=(1, 2, 3))
        return sizes.mean()

    return norm


def shrinking_masks(faces: Faces, photos: Tensor, generator: torch.Generator) -> Callable[[], Tensor]:
    """Draws (n, 1, h, w) masks: 1 in a random part of each face and all over photos without one, 0 elsewhere.

    A face is an ellipse in its aligned crop. Its radius is reduced in 16 directions, between which it changes linearly,
    by up to a share that is itself drawn, so that masks from a whole face to next to nothing occur.
    """
    height, width = photos.shape[-2:]
    everything = torch.ones(len(photos), 1, height, width, device=photos.device)
    if not faces.rows:
        return lambda: everything
    rows, columns = torch.meshgrid(torch.arange(float(height)), torch.arange(float(width)), indexing="ij")
    pixels = torch.stack([columns, rows], dim=-1).reshape(1, -1, 2).to(photos)
    # Where the face is the unit circle.
    places = (move(pixels, alignment(faces.points)) - FACE_CENTRE.to(photos)) / FACE_RADII.to(photos)
    turn = torch.atan2(places[..., 1], places[..., 0]) / (2 * torch.pi) * DIRECTIONS % DIRECTIONS
    before = turn.long() % DIRECTIONS
    index = torch.tensor(faces.rows, device=photos.device)

    def draw() -> Tensor:
        shares = torch.rand(len(index), 1, generator=generator)
        radii = (1 - shares * torch.rand(len(index), DIRECTIONS, generator=generator)).to(photos)
        ends = radii.gather(1, before), radii.gather(1, (before + 1) % DIRECTIONS)
        inside = places.norm(dim=-1) <= torch.lerp(*ends, turn - turn.floor())
        return everything.index_copy(0, index, inside.to(photos).view(-1, 1, height, width))

    return draw
