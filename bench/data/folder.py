"""Photos on disk, in the Anti-DreamBooth layout or one flat folder a person.

    root/<identity>/set_A/*.png   reference: the defender's clean photos
    root/<identity>/set_B/*.png   protect:   the photos to cloak, which the attacker trains on
    root/<identity>/set_C/*.png   extra:     clean photos that nobody trains on (optional)

    root/<identity>/*.jpg         flat: sorted by name, the first third is A, the second B, the rest C

Order is by name, never the file system's.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from PIL import Image
from pydantic import NonNegativeInt

from bench.data import Source, dataset
from bench.errors import BenchError, unknown_name
from bench.hashing import sha256_array
from bench.images import SUFFIXES, crop_centre, crop_square, read_image, resize
from bench.types import Dataset, Identity, Photo

MIN_CLEAN = 3
"""Fewer clean photos than this give no stable reference for the judge."""

SMALL = 256
"""Below this many pixels, `crop=auto` cuts out the face."""

MIN_FLAT = 6
"""Photos that a flat folder needs, so that each set gets two."""


class NoFace(Exception):
    """A photo to be cropped around its face has none."""


@dataclass(frozen=True)
class Folder(Source):
    """Your own photos: <root>/<identity>/set_A|set_B|set_C, or <root>/<identity> with at least 6 photos.

    Attributes:
        root: the folder that holds one folder per person.
        licence: what allows you to use the photos; copied into every record.
        crop: "centre" takes the largest middle square; "face" a square around the largest face, for photos where
            the face is small or off-centre; "auto" is "face" below 256 px, where a face must fill the photo to be
            recognised, and else "centre", as in the published protocols.
        face_margin: side of the face crop, in face boxes.
        identities: use only these folders, in this order; empty means all.
        exclude: leave these folders out: people who asked for it.
        limit: use at most this many identities; 0 means all.
    """

    root: str
    licence: str = "unknown"
    crop: Literal["auto", "centre", "face"] = "auto"
    face_margin: float = 1.5
    identities: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: NonNegativeInt = 0

    def load(self, resolution: int) -> Dataset:
        """See `Source.load`. A person with an unusable photo is kept, with the reason in `Identity.problem`."""
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise BenchError(
                f"data.root={self.root}: there is no such folder.",
                "Give the folder that holds one folder per person, each with set_A, set_B (and set_C), or just photos.",
            )
        folders = [f for f in sorted(root.iterdir()) if f.is_dir() and not f.name.startswith(".")]
        if not folders:
            raise BenchError(
                f"data.root={self.root} holds no folders.",
                "It must hold one folder per person. To use one person's photos, give the folder above.",
            )
        for unknown in set(self.exclude) - {folder.name for folder in folders}:
            raise unknown_name("identity in data.exclude", unknown, [folder.name for folder in folders])
        people = [self._identity(folder, resolution) for folder in folders if folder.name not in self.exclude]
        return dataset(root.resolve().name, self.licence, people, self.identities, self.limit)

    def _identity(self, folder: Path, resolution: int) -> Identity:
        sets, problem = {}, ""
        for part, files in _split(folder).items():
            try:
                sets[part] = tuple(self._photo(file, resolution) for file in files)
            except NoFace as error:
                sets[part], problem = (), str(error)
        return Identity(folder.name, sets["A"], sets["B"], sets["C"], problem)

    def _photo(self, file: Path, resolution: int) -> Photo:
        image = read_image(file)
        around_face = self.crop == "face" or (self.crop == "auto" and resolution < SMALL)
        square = self._crop_face(image, file) if around_face else crop_centre(image)
        pixels = resize(square, resolution)
        return Photo(file.name, pixels, sha256_array(pixels))

    def _crop_face(self, image: Image.Image, file: Path) -> Image.Image:
        """A square around the largest face, moved up by a tenth of its height so that the forehead is in."""
        from bench.models.judge import find_boxes

        boxes = find_boxes(image)
        if not boxes:
            raise NoFace(f"no face found in {file}; remove the photo or use data.crop=centre")
        left, top, right, bottom = max(boxes, key=lambda b: (b[2] - b[0]) * (b[3] - b[1]))
        width, height = image.size
        side = self.face_margin * max((right - left) * width, (bottom - top) * height)
        x = (left + right) / 2 * width
        y = ((top + bottom) / 2 - 0.1 * (bottom - top)) * height
        return crop_square(image, (x - side / 2, y - side / 2, x + side / 2, y + side / 2))


def _split(folder: Path) -> dict[str, list[Path]]:
    """The files of sets A, B and C.

    Raises:
        BenchError: too few photos for the split.
    """
    if (folder / "set_B").is_dir():
        sets = {part: _photos(folder / f"set_{part}") for part in "ABC"}
    else:
        files = _photos(folder)
        third = len(files) // 3 if len(files) >= MIN_FLAT else 0
        sets = {"A": files[:third], "B": files[third : 2 * third], "C": files[2 * third :]}
    if not sets["B"] or len(sets["A"]) + len(sets["C"]) < MIN_CLEAN or not sets["A"]:
        counts = ", ".join(f"{len(files)} in {part}" for part, files in sets.items())
        raise BenchError(
            f"{folder} has too few photos ({counts}).",
            f"It needs photos in set_A and set_B and at least {MIN_CLEAN} in A and C together, "
            f"or at least {MIN_FLAT} photos directly in it.",
        )
    return sets


def _photos(folder: Path) -> list[Path]:
    if not folder.is_dir():
        return []
    return sorted(f for f in folder.iterdir() if f.suffix.lower() in SUFFIXES and not f.name.startswith("."))
