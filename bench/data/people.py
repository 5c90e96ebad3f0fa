"""What sources of people's photos share: how photos are cut, who takes part, and how many photos everybody needs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar, Literal, TypeVar

from bench.core.errors import unknown_name
from bench.core.names import composed
from bench.core.ranges import Several
from bench.core.types import Photo
from bench.data import Source
from bench.data.crops import Crop, Cutter, Margin, NoFace

T = TypeVar("T")

MIN_CLEAN = 3
"""Fewer clean photos than this give no stable reference for the judges."""
MIN_FLAT = 6
"""Photos that a person without sets needs, so that each set gets two."""


@dataclass(frozen=True)
class PeopleSource(Source):
    """Base of sources that cut photos, and choose among people by name.

    Attributes:
        root: where the photos are.
        crop: "centre" takes the largest middle square; "face" a square around the largest face, for photos where
            the face is small or off-centre; "auto" is "face" below 256 px, where a face must fill the photo to be
            recognised, and else "centre", as in the published protocols.
        face_margin: side of the face crop, in face boxes.
        identities: use only these people, in this order; empty means all.
        exclude: leave these people out: people who asked for it.
        limit: use at most this many people; 0 means all.
        names: "pseudonyms" in all that is stored; "own" stores the names. Names that are numbers are codes, and stay.
    """

    cut: ClassVar[tuple[str, ...]] = ("crop", "face_margin")

    root: str
    crop: Crop = "auto"
    face_margin: Margin = 1.5
    identities: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    limit: Several = 0
    names: Literal["pseudonyms", "own"] = "pseudonyms"

    def everybody(self) -> Iterable[str]:
        """Names of all people, without a look at their photos: so that a pseudonym may choose among them."""
        return ()

    def cutter(self, resolution: int) -> Cutter:
        """Cuts photos as the settings say, to `resolution` pixels."""
        return Cutter(self.crop, self.face_margin, resolution)

    def without_excluded(self, people: Mapping[str, T]) -> dict[str, T]:
        """The people who are not left out.

        Raises:
            BenchError: somebody is to be left out who is not there.
        """
        excluded = set(map(composed, self.exclude))
        for unknown in excluded - people.keys():
            raise unknown_name("identity in data.exclude", unknown, people)
        return {name: person for name, person in people.items() if name not in excluded}


def in_thirds(photos: Sequence[T]) -> dict[str, Sequence[T]]:
    """The sets of somebody who has none: the first third is A, the second B, the rest C; too few are all C."""
    third = len(photos) // 3 if len(photos) >= MIN_FLAT else 0
    return {"A": photos[:third], "B": photos[third : 2 * third], "C": photos[2 * third :]}


def enough(sets: Mapping[str, Sequence[T]]) -> bool:
    """Whether there are photos to cloak, a reference, and enough clean photos."""
    return bool(sets["A"] and sets["B"]) and len(sets["A"]) + len(sets["C"]) >= MIN_CLEAN


def counted(sets: Mapping[str, Sequence[T]]) -> str:
    """How many photos there are: "2 in A, 2 in B, 0 in C"."""
    return ", ".join(f"{len(photos)} in {part}" for part, photos in sets.items())


def cut_sets(
    sets: Mapping[str, Sequence[T]], photo_of: Callable[[T], Photo]
) -> tuple[dict[str, tuple[Photo, ...]], str]:
    """The photos of every set, and why there are none in one: no face, in a photo that is cut around it."""
    photos: dict[str, tuple[Photo, ...]] = {}
    problem = ""
    for part, items in sets.items():
        try:
            photos[part] = tuple(map(photo_of, items))
        except NoFace as error:
            photos[part], problem = (), str(error)
    return photos, problem
