"""Cloaks that somebody else has made: how a method enters the board without giving its code.

The photos keep their names: `<root>/<person>/<photo>.png`, each of the size that the benchmark shows (its square crop
at the base's resolution), as `python -m bench` saves its own cloaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path, PurePath
from typing import Annotated, ClassVar, NamedTuple

import numpy as np
from pydantic import Field
from torch import Tensor

from bench.core.budget import audit
from bench.core.errors import BenchError, unknown_name
from bench.core.hashing import hash_of
from bench.core.images import to_tensor
from bench.core.names import composed
from bench.core.types import Budget, Identity, Pixels
from bench.data.photo_files import place, scan, scan_all, subfolders
from bench.data.photo_reader import read_image
from bench.models.weights.files import hashes
from bench.models.weights.published import together
from defenses import Context, Defense

LAYOUT = "Give defense.root=<folder>/<person>/<photo>.png."


@dataclass(frozen=True)
class Precomputed(Defense):
    """Photos cloaked elsewhere, read from a folder.

    Attributes:
        label: name of the method, for tables.
        root: folder with one folder per person.
    """

    needs_surrogate: ClassVar[bool] = False

    label: Annotated[str, Field(pattern=r"\S")]
    root: Annotated[str, Field(pattern=r"\S")]

    def files(self) -> dict[str, str]:
        """Hash of all pictures below the root.

        Raises:
            BenchError: there are none, or one of a kind that is not read.
        """
        folder = self._folder()
        pictures = scan_all(folder).complete(folder)
        if not pictures:
            raise BenchError(f"There are no pictures in {folder}.", LAYOUT)
        named = {place(path, folder): path for path in pictures}
        return {"root": hash_of(hashes(named, f"Put the picture into {folder} again."))}

    def check(self, person: Identity, budget: Budget) -> None:
        """See `Defense.check`: every photo has its cloak, of its size and within the budget."""
        pictures = self._read(person.name, [photo.name for photo in person.protect])
        pairs = list(zip(person.protect, pictures, strict=True))
        together(partial(_refuse_other_size, picture, photo.pixels.shape[0]) for photo, picture in pairs)
        label = f"{self.label}, {person.name}"
        together(partial(audit, [photo.pixels], [p.pixels], budget, f"{label}/{photo.name}") for photo, p in pairs)

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        pictures = self._read(context.identity, context.names)
        together(partial(_refuse_other_size, picture, photos.shape[-1]) for picture in pictures)
        return to_tensor([picture.pixels for picture in pictures]).to(photos)

    def _read(self, person: str, names: Sequence[str]) -> list[_Picture]:
        """A person's cloaks of photos of these names, in their order.

        Raises:
            BenchError: names all that are missing or cannot be read.
        """
        _refuse_twice(names, person)
        people = subfolders(self._folder())
        if composed(person) not in people:
            raise unknown_name("folder of cloaked photos", f"{person}/{PurePath(names[0]).stem}", people)
        cloaked = self._pictures(people[composed(person)], person)

        def picture(name: str) -> _Picture:
            stem = composed(PurePath(name).stem)
            if stem not in cloaked:
                raise unknown_name("cloaked photo", f"{person}/{stem}", cloaked)
            return _Picture(cloaked[stem], np.asarray(read_image(cloaked[stem])))

        return together(partial(picture, name) for name in names)

    def _folder(self) -> Path:
        folder = Path(self.root).expanduser()
        if not folder.is_dir():
            raise BenchError(f"defense.root={self.root}: there is no such folder, so there are no pictures.", LAYOUT)
        return folder

    def _pictures(self, folder: Path, person: str) -> dict[str, Path]:
        """Name without suffix -> the cloaked photos of a person."""
        pictures = scan(folder).photos
        _refuse_twice([picture.name for picture in pictures], person)
        return {composed(picture.stem): picture for picture in pictures}


class _Picture(NamedTuple):
    path: Path
    pixels: Pixels


def _refuse_other_size(picture: _Picture, side: int) -> None:
    height, width = picture.pixels.shape[:2]
    if (height, width) != (side, side):
        raise BenchError(
            f"{picture.path} is {width} x {height} pixels; the benchmark shows {side}.",
            "Cloak the square crops of the benchmark, at its size.",
        )


def _refuse_twice(names: Sequence[str], person: str) -> None:
    """Raises BenchError if photos differ in their suffix alone: a cloak is matched without it."""
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(composed(PurePath(name).stem), name)) != name:
            raise BenchError(f"{person} has both {other} and {name}: which cloak is whose?", "Rename or remove one.")
