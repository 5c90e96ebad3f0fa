"""Cloaks for photos of any size: the face's square is cloaked at the base's resolution, and the change is brought back.

A benchmark shows methods square crops of one size. A person has photos: here the square around the largest face is cut
out and shrunk to the base's resolution, all photos of one person are cloaked together, and what the cloak changed is
enlarged to the square's own size and added to the photo. The budget is audited on the photo as it is saved.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.config.schema import RunSettings
from bench.core import numbered
from bench.core.budget import audit
from bench.core.errors import BenchError
from bench.core.hashing import sha256_array
from bench.core.images import crop_square, resize
from bench.core.types import Budget, Identity, Photo, Pixels
from bench.data.crops import face_square
from bench.models.diffusion.model_cache import Pool
from bench.models.faces.dlib_recogniser import find_boxes
from bench.runner.plan import resolved_defense
from bench.runner.stages import protect, surrogate
from bench.store import Store
from defenses import ignore
from metrics.visibility import psnr

Change = npt.NDArray[np.int16]
"""Difference of two pictures, (h, w, 3), in grey levels."""

Square = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels; may reach outside the photo."""

DETECTION_SIDES = (256, 512, 1024, 2048)
"""Longer sides at which a face is looked for, in turn: a detector that sees a photo shrunk misses small faces."""

MARGIN = 1.5
"""Side of the square, in face boxes: as `data.face_margin`."""


@dataclass(frozen=True)
class CloakedPhoto:
    """One cloaked photo.

    Attributes:
        name: as it was given.
        image: the cloaked photo, upright, RGB, of the original's size.
        square: the region that was cloaked, in pixels; it may reach outside the photo.
        linf: largest change in grey levels of 255.
        psnr: in dB, over the whole photo.
        seconds: this photo's share of the time that its person's photos took.
    """

    name: str
    image: Image.Image
    square: Square
    linf: int
    psnr: float
    seconds: float


def square_of(image: Image.Image) -> Square | None:
    """The square around an upright photo's largest face, moved up a little for the forehead; None without a face."""
    for side in DETECTION_SIDES:
        boxes = find_boxes(image, side)
        if boxes:
            break
        if side >= max(image.size):
            return None
    else:
        return None
    left, top, right, bottom = face_square(boxes, image.size, MARGIN)
    return round(left), round(top), round(right), round(bottom)


def cloak_person(
    images: Mapping[str, Image.Image],
    settings: RunSettings,
    pool: Pool,
    store: Store,
    person: str = "",
    progress: Callable[[float], None] | None = None,
) -> list[CloakedPhoto]:
    """Cloak all photos of one person with a run's defense, budget, surrogates and seed.

    The photos are the method's clean reference, too: there are no others.

    Args:
        images: name -> upright RGB photo of any size, each with a face.
        settings: of these, the defense, budget, model, surrogates and seed matter.
        pool: where models are loaded.
        store: keeps what a method shares between people, such as class pictures.
        person: name that seeds derive from.
        progress: called with the share done.

    Raises:
        BenchError: a photo has no face, or the defense fails or exceeds its budget.
    """
    started = time.monotonic()
    squares = {name: square_of(image) for name, image in images.items()}
    faceless = [name for name, square in squares.items() if square is None]
    if faceless:
        raise BenchError(f"No face found in {', '.join(faceless)}.", "Leave it out: there is nothing to protect in it.")
    regions = {name: square for name, square in squares.items() if square}
    surrogates = settings.surrogates or (settings.model,)
    defense = resolved_defense(settings.defense, surrogates[0], settings.effort)
    crops = tuple(
        _photo(name, resize(crop_square(images[name], square), settings.model.resolution))
        for name, square in regions.items()
    )
    budget = Budget(settings.budget)
    with tempfile.TemporaryDirectory() as folder:
        bases = [pool.base(model) for model in surrogates] if defense.instance.needs_surrogate else []
        learned = partial(surrogate.tuned, seed=settings.seed)  # nothing of the person is kept
        context = protect.context(
            Identity(person, crops, crops), budget, bases, settings.seed, store, learned, progress or ignore
        )
        protect.protect(Path(folder), defense, crops, context)
        small = numbered.load(Path(folder))
    seconds = (time.monotonic() - started) / len(crops)
    cloaked = []
    for crop, changed in zip(crops, small, strict=True):
        original, square = np.asarray(images[crop.name]), regions[crop.name]
        pixels = brought_back(original, changed.astype(np.int16) - crop.pixels, square, budget)
        largest = audit([original], [pixels], budget, defense.name)
        image = Image.fromarray(pixels)
        cloaked.append(CloakedPhoto(crop.name, image, square, largest, psnr(original, pixels), seconds))
    return cloaked


def brought_back(photo: Pixels, change: Change, square: Square, budget: Budget) -> Pixels:
    """A photo (h, w, 3) with a square's change (side, side, 3), in grey levels, enlarged to the square's size.

    Bicubic, and clipped to the budget, which interpolation may exceed. What lies outside the photo is left out.
    """
    left, top, right, bottom = square
    size = (right - left, bottom - top)
    channels = [
        Image.fromarray(part.astype(np.float32)).resize(size, Image.Resampling.BICUBIC)
        for part in np.moveaxis(change, -1, 0)
    ]
    most = budget.whole_levels
    large = np.stack([np.asarray(channel) for channel in channels], axis=-1).clip(-most, most)
    height, width = photo.shape[:2]
    rows, columns = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
    inside = large[rows.start - top : rows.stop - top, columns.start - left : columns.stop - left]
    pixels = photo.copy()
    pixels[rows, columns] = (photo[rows, columns] + inside).round().clip(0, 255).astype(np.uint8)
    return pixels


def _photo(name: str, pixels: Pixels) -> Photo:
    return Photo(name, pixels, sha256_array(pixels))
