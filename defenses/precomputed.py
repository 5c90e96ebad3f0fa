"""Cloaks that somebody else has made: how a method enters the board without giving its code.

The photos keep their names: `<root>/<person>/<photo>.png`, each of the size that the benchmark shows (its square crop
at the base's resolution), as `python -m bench` saves its own cloaks.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePath
from typing import Annotated, ClassVar

import numpy as np
from pydantic import Field
from torch import Tensor

from bench.data.photo_files import place, scan, scan_all, subfolders
from bench.data.photo_reader import read_image
from bench.errors import BenchError, unknown_name
from bench.hashing import hash_of
from bench.images import to_tensor
from bench.models.files import hashes
from bench.names import composed
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

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        _refuse_twice(context.names, context.identity)
        cloaked = self._pictures(context.identity)
        pictures = []
        for name in context.names:
            stem = composed(PurePath(name).stem)
            if stem not in cloaked:
                raise unknown_name("cloaked photo", f"{context.identity}/{stem}", cloaked)
            pictures.append(np.asarray(read_image(cloaked[stem])))
            height, width = pictures[-1].shape[:2]
            if (height, width) != tuple(photos.shape[-2:]):
                raise BenchError(
                    f"{cloaked[stem]} is {width} x {height} pixels; the benchmark shows {photos.shape[-1]}.",
                    "Cloak the square crops of the benchmark, at its size.",
                )
        return to_tensor(pictures).to(photos)

    def _folder(self) -> Path:
        folder = Path(self.root).expanduser()
        if not folder.is_dir():
            raise BenchError(f"defense.root={self.root}: there is no such folder, so there are no pictures.", LAYOUT)
        return folder

    def _pictures(self, person: str) -> dict[str, Path]:
        """Name without suffix -> the cloaked photos of a person; nothing if there is no folder of theirs."""
        folder = subfolders(self._folder()).get(composed(person))
        pictures = scan(folder).photos if folder else ()
        _refuse_twice([picture.name for picture in pictures], person)
        return {composed(picture.stem): picture for picture in pictures}


def _refuse_twice(names: Sequence[str], person: str) -> None:
    """Raises BenchError if photos differ in their suffix alone: a cloak is matched without it."""
    first: dict[str, str] = {}
    for name in names:
        if (other := first.setdefault(composed(PurePath(name).stem), name)) != name:
            raise BenchError(f"{person} has both {other} and {name}: which cloak is whose?", "Rename or remove one.")
