"""The same photo in two places, equal or saved once more: of two people, in two sets of a person, or in one set.

A photo that is cloaked in one set and clean in another gives the attacker's pictures to the judge as a reference, and
one photo under two names makes strangers alike. Neither can be seen in the results.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from bench.core.errors import BenchError
from bench.core.types import Dataset, Pixels

SIDE = 16
"""Pixels of the thumbnails that are compared."""
NEAR = 5.0
"""Grey levels, root mean square, by which thumbnails of one photo may differ. JPEG at quality 30 changes them by up to
3; those of different photos, of one person in one place too, differ by more than 8 (CelebA, LFW, CelebA-HQ)."""
BLOCK = 1024
"""Thumbnails compared with all others at a time."""


@dataclass(frozen=True)
class Duplicate:
    """Two photos that are one.

    Attributes:
        people: whose they are.
        places: where they are, for people to read.
        sets: "A", "B" or "C" of each.
        exact: whether their pixels are equal; else one is a copy, saved once more.
    """

    people: tuple[str, str]
    places: tuple[str, str]
    sets: tuple[str, str]
    exact: bool

    def __str__(self) -> str:
        same = "the same photo" if self.exact else "the same photo, saved twice"
        return f"{self.places[0]} and {self.places[1]} are {same}{self._harm}"

    @property
    def within_a_set(self) -> bool:
        """Whether it only counts twice."""
        return self.people[0] == self.people[1] and self.sets[0] == self.sets[1]

    @property
    def _harm(self) -> str:
        if self.people[0] != self.people[1]:
            return ", under two names."
        if self.within_a_set:
            return ", which counts twice."
        if "B" in self.sets:
            return ": the judge would compare with a photo that the attacker has."
        return ", in two sets."


def duplicates(data: Dataset) -> list[Duplicate]:
    """All of a data set, those of equal pixels first.

    A photo that is there several times is compared with its first place alone.
    """
    everything = [(person, part, photo) for person in data.identities for part, photo in person.by_set()]
    first: dict[str, int] = {}
    exact = [(f, i) for i, (*_, photo) in enumerate(everything) if (f := first.setdefault(photo.sha256, i)) != i]
    unique = list(first.values())
    near = [(unique[a], unique[b]) for a, b in _near([everything[i][2].pixels for i in unique])]
    found = []
    for pairs, equal in ((exact, True), (near, False)):
        for one, two in pairs:
            (person, part, photo), (other, copy_part, copy) = everything[one], everything[two]
            places = person.place(part, photo), other.place(copy_part, copy)
            found.append(Duplicate((person.name, other.name), places, (part, copy_part), equal))
    return found


def refuse(found: Sequence[Duplicate], selected: Sequence[str]) -> None:
    """Refuse photos of equal pixels that would change a result of the selected people.

    Raises:
        BenchError: names all of them.
    """
    bad = [d for d in found if d.exact and not d.within_a_set and set(d.people) & set(selected)]
    if bad:
        people = ",".join(dict.fromkeys(d.people[1] for d in bad))
        raise BenchError(
            "\n".join(map(str, bad)), f"Remove one of each two, or leave people out: data.exclude=[{people}]."
        )


def _near(photos: Sequence[Pixels]) -> Iterator[tuple[int, int]]:
    """Pairs of photos (h, w, 3) uint8 whose thumbnails are nearly equal."""
    thumbnails = np.array([_thumbnail(photo) for photo in photos], np.float32).reshape(len(photos), 3 * SIDE**2)
    squares = (thumbnails**2).sum(1)
    for start in range(0, len(thumbnails), BLOCK):
        block = slice(start, start + BLOCK)
        apart = squares[block, None] + squares[None, :] - 2 * thumbnails[block] @ thumbnails.T
        for row, column in np.argwhere(apart < NEAR**2 * thumbnails.shape[1]):
            if start + row < column:
                yield int(start + row), int(column)


def _thumbnail(photo: Pixels) -> npt.NDArray[np.float32]:
    small = Image.fromarray(photo).resize((SIDE, SIDE), Image.Resampling.BOX)
    return np.asarray(small, np.float32).ravel() - 128  # centred: single precision is enough then
