"""Cloaks that somebody else has made: how a method enters the board without giving its code.

The photos keep their names: `<root>/<person>/<photo>.png`, each of the size that the benchmark shows (its square crop
at the base's resolution), as `python -m bench` saves its own cloaks.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from torch import Tensor

from bench.errors import BenchError, unknown_name
from bench.hashing import hash_of
from bench.images import SUFFIXES, read_image, to_tensor
from bench.models.files import hashes
from defenses import Context, Defense


@dataclass(frozen=True)
class Precomputed(Defense):
    """Photos cloaked elsewhere, read from a folder.

    Attributes:
        label: name of the method, for tables.
        root: folder with one folder per person.
    """

    needs_surrogate: ClassVar[bool] = False

    label: str
    root: str

    def files(self) -> dict[str, str]:
        """Hash of all pictures below the root.

        Raises:
            BenchError: there are none.
        """
        folder = Path(self.root).expanduser()
        pictures = sorted(path for path in folder.rglob("*") if path.suffix.lower() in SUFFIXES)
        if not pictures:
            raise BenchError(f"There are no pictures in {folder}.", "Give defense.root=<folder>/<person>/<photo>.png.")
        named = {str(path.relative_to(folder)): path for path in pictures}
        return {"root": hash_of(hashes(named, f"Put the picture into {folder} again."))}

    def protect(self, photos: Tensor, context: Context) -> Tensor:
        folder = Path(self.root).expanduser() / context.identity
        here = {path.stem: path for path in folder.glob("*") if path.suffix.lower() in SUFFIXES}
        pictures = []
        for name in context.names:
            stem = Path(name).stem
            if stem not in here:
                raise unknown_name("cloaked photo", f"{context.identity}/{stem}", here)
            pictures.append(np.asarray(read_image(here[stem])))
            height, width = pictures[-1].shape[:2]
            if (height, width) != tuple(photos.shape[-2:]):
                raise BenchError(
                    f"{here[stem]} is {width} x {height} pixels; the benchmark shows {photos.shape[-1]}.",
                    "Cloak the square crops of the benchmark, at its size.",
                )
        return to_tensor(pictures).to(photos)
