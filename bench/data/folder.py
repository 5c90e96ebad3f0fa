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

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.names import composed
from bench.core.types import Dataset, Identity, Photo
from bench.data import dataset
from bench.data.layout import EXPECTED, refuse_wrong_level, sets_of
from bench.data.people import MIN_CLEAN, MIN_FLAT, PeopleSource, counted, cut_sets, enough, in_thirds
from bench.data.photo_files import place, scan, subfolders
from bench.data.photo_reader import read_image
from bench.models.weights.published import together


@dataclass(frozen=True)
class Folder(PeopleSource):
    """Your own photos: <root>/<identity>/set_A|set_B|set_C, or <root>/<identity> with at least 6 photos.

    Attributes:
        root: the folder that holds one folder per person.
        licence: what allows you to use the photos; copied into every record.

    The other settings are those of `PeopleSource`.
    """

    licence: str = "unknown"

    def load(self, resolution: int) -> Dataset:
        """See `Source.load`. A person with an unusable photo is kept, with the reason in `Identity.problem`."""
        root = Path(self.root).expanduser()
        if not root.is_dir():
            raise BenchError(f"data.root={self.root}: there is no such folder.", EXPECTED)
        left = self.without_excluded(subfolders(root))
        refuse_wrong_level(root, left)
        people = together(partial(self._identity, name, folder, resolution) for name, folder in left.items())
        strays = tuple(f"{photo.name} belongs to nobody" for photo in scan(root).photos)
        return dataset(composed(root.resolve().name), self.licence, people, self.identities, self.limit, strays)

    def everybody(self) -> Iterable[str]:
        """See `PeopleSource.everybody`."""
        root = Path(self.root).expanduser()
        return subfolders(root) if root.is_dir() else ()

    def _identity(self, name: str, folder: Path, resolution: int) -> Identity:
        files, skipped = _split(folder)
        cutter = self.cutter(resolution)

        def photo(file: Path) -> Photo:
            return replace(
                cutter.cut(read_image(file), composed(file.name), str(file)), place=place(file, folder.parent)
            )

        sets, problem = cut_sets(files, photo)
        return Identity(name, sets["A"], sets["B"], sets["C"], problem, skipped)


def _split(folder: Path) -> tuple[Mapping[str, Sequence[Path]], tuple[str, ...]]:
    """The files of sets A, B and C, and what was skipped, with the reasons.

    Raises:
        BenchError: a picture cannot be read, a set has a wrong name, or there are too few photos.
    """
    places = {name.removeprefix("set_"): path for name, path in sets_of(folder).items()}
    here = scan(folder)
    if places:
        scans = {part: scan(path) for part, path in places.items()}
        sets: Mapping[str, Sequence[Path]] = {
            part: _as_text(scans[part].complete(folder)) if part in scans else () for part in "ABC"
        }
        ignored = [f"{place(photo, folder.parent)} is in no set" for photo in here.photos]
        skipped = [item for item in here.skipped if item.path not in places.values()]
        skipped += [item for each in scans.values() for item in each.skipped]
    else:
        sets = in_thirds(here.complete(folder))
        skipped, ignored = list(here.skipped), []
    remarks = (*ignored, *(f"{place(item.path, folder.parent)} {item.reason}" for item in skipped))
    if not enough(sets):
        others = f" Not counted: {', '.join(remarks)}." if remarks else ""
        raise BenchError(
            f"{folder} has too few photos ({counted(sets)}).{others}",
            f"It needs photos in set_A and set_B and at least {MIN_CLEAN} in A and C together, "
            f"or at least {MIN_FLAT} photos directly in it.",
        )
    return sets, remarks


def _as_text(files: Sequence[Path]) -> tuple[Path, ...]:
    return tuple(sorted(files, key=lambda file: composed(file.name)))
