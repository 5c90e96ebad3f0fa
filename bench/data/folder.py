"""Photos on disk, in the Anti-DreamBooth layout or one flat folder a person.

    root/<identity>/set_A/*.png   reference: the defender's clean photos
    root/<identity>/set_B/*.png   protect:   the photos to cloak, which the attacker trains on
    root/<identity>/set_C/*.png   extra:     clean photos that nobody trains on (optional)

    root/<identity>/*.jpg         flat: sorted by name, the first third is A, the second B, the rest C

Order is by name, never the file system's. Where it decides which photos are in which set, and among people, numbers
count: 9.jpg comes before 10.jpg. Within a chosen set names are compared as text: the order means nothing there, but
published results rest on it. `photo_files` says what a photo is, and what is done with everything else.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import ClassVar

from bench.core.errors import BenchError, unknown_name
from bench.core.names import composed
from bench.core.ranges import Several
from bench.core.types import Dataset, Identity, Photo
from bench.data import Source, dataset
from bench.data.crops import Crop, Cutter, Margin, NoFace
from bench.data.layout import EXPECTED, refuse_wrong_level, sets_of
from bench.data.photo_files import place, scan, subfolders
from bench.data.photo_reader import read_image
from bench.models.weights.published import together

MIN_CLEAN = 3
"""Fewer clean photos than this give no stable reference for the judge."""

MIN_FLAT = 6
"""Photos that a flat folder needs, so that each set gets two."""


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

    cut: ClassVar[tuple[str, ...]] = ("crop", "face_margin")

    root: str
    licence: str = "unknown"
    crop: Crop = "auto"
    face_margin: Margin = 1.5
    identities: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: Several = 0

    def load(self, resolution: int) -> Dataset:
        """See `Source.load`. A person with an unusable photo is kept, with the reason in `Identity.problem`."""
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise BenchError(f"data.root={self.root}: there is no such folder.", EXPECTED)
        folders = subfolders(root)
        excluded = set(map(composed, self.exclude))
        for unknown in excluded - folders.keys():
            raise unknown_name("identity in data.exclude", unknown, folders)
        left = {name: folder for name, folder in folders.items() if name not in excluded}
        refuse_wrong_level(root, left)
        people = together(partial(self._identity, name, folder, resolution) for name, folder in left.items())
        strays = tuple(f"{photo.name} belongs to nobody" for photo in scan(root).photos)
        return dataset(composed(root.resolve().name), self.licence, people, self.identities, self.limit, strays)

    def _identity(self, name: str, folder: Path, resolution: int) -> Identity:
        sets, problem = {}, ""
        files, skipped = _split(folder)
        for part in files:
            try:
                sets[part] = tuple(self._photo(file, folder, resolution) for file in files[part])
            except NoFace as error:
                sets[part], problem = (), str(error)
        return Identity(name, sets["A"], sets["B"], sets["C"], problem, skipped)

    def _photo(self, file: Path, person: Path, resolution: int) -> Photo:
        cutter = Cutter(self.crop, self.face_margin, resolution)
        photo = cutter.cut(read_image(file), composed(file.name), str(file))
        return replace(photo, place=place(file, person.parent))


def _split(folder: Path) -> tuple[dict[str, tuple[Path, ...]], tuple[str, ...]]:
    """The files of sets A, B and C, and what was skipped, with the reasons.

    Raises:
        BenchError: a picture cannot be read, a set has a wrong name, or there are too few photos.
    """
    places = {name.removeprefix("set_"): path for name, path in sets_of(folder).items()}
    here = scan(folder)
    if places:
        scans = {part: scan(path) for part, path in places.items()}
        sets = {part: _as_text(scans[part].complete(folder)) if part in scans else () for part in "ABC"}
        ignored = [f"{place(photo, folder.parent)} is in no set" for photo in here.photos]
        skipped = [item for item in here.skipped if item.path not in places.values()]
        skipped += [item for each in scans.values() for item in each.skipped]
    else:
        files = here.complete(folder)
        third = len(files) // 3 if len(files) >= MIN_FLAT else 0
        sets = {"A": files[:third], "B": files[third : 2 * third], "C": files[2 * third :]}
        skipped, ignored = list(here.skipped), []
    remarks = (*ignored, *(f"{place(item.path, folder.parent)} {item.reason}" for item in skipped))
    if not sets["B"] or len(sets["A"]) + len(sets["C"]) < MIN_CLEAN or not sets["A"]:
        counts = ", ".join(f"{len(files)} in {part}" for part, files in sets.items())
        others = f" Not counted: {', '.join(remarks)}." if remarks else ""
        raise BenchError(
            f"{folder} has too few photos ({counts}).{others}",
            f"It needs photos in set_A and set_B and at least {MIN_CLEAN} in A and C together, "
            f"or at least {MIN_FLAT} photos directly in it.",
        )
    return sets, remarks


def _as_text(files: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(sorted(files, key=lambda file: composed(file.name)))
