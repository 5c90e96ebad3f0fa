"""The small vocabulary that every part of the harness shares."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

import numpy as np
import numpy.typing as npt

Pixels = npt.NDArray[np.uint8]
"""One picture, (h, w, 3) uint8, RGB."""

Array = npt.NDArray[np.float64]

Status = Literal["ok", "skipped", "fit_failed", "failed"]


class Interval(NamedTuple):
    """A confidence interval."""

    low: float
    high: float


@dataclass(frozen=True)
class Photo:
    """One photo, already upright, RGB, cropped and resized.

    Attributes:
        name: file name in Unicode's composed form (NFC), unique within its set.
        pixels: (h, w, 3) uint8.
        sha256: hash of the pixels (not of the file: a re-encoded but equal photo is the same photo).
        place: where it lies in the data set, for people to read; empty if it lies nowhere.
    """

    name: str
    pixels: Pixels = field(repr=False, compare=False)
    sha256: str
    place: str = ""


@dataclass(frozen=True)
class Identity:
    """One person.

    Attributes:
        name: folder name in Unicode's composed form (NFC), unique within the data set.
        reference: set A, the defender's clean photos.
        protect: set B, the photos to cloak; the attacker trains on them.
        extra: set C, clean photos that nobody trains on.
        problem: why this person cannot be measured ("no face in b.png"), or empty.
        skipped: what is in the folder and no photo, each with its reason.
    """

    name: str
    reference: tuple[Photo, ...]
    protect: tuple[Photo, ...]
    extra: tuple[Photo, ...] = ()
    problem: str = ""
    skipped: tuple[str, ...] = ()

    @property
    def clean(self) -> tuple[Photo, ...]:
        """Sets A and C: never cloaked and never trained on, so the judges compare with these."""
        return self.reference + self.extra

    def by_set(self) -> Iterator[tuple[str, Photo]]:
        """All photos, each with its set: "A", "B" or "C"."""
        for part, photos in (("A", self.reference), ("B", self.protect), ("C", self.extra)):
            for photo in photos:
                yield part, photo

    def place(self, part: str, photo: Photo) -> str:
        """Where a photo of a set lies, for people to read."""
        return photo.place or f"{self.name}/set_{part}/{photo.name}"


@dataclass(frozen=True)
class Dataset:
    """Identities and the facts a record must state about them.

    Attributes:
        name: name of the data set.
        licence: what allows its use.
        identities: everybody, also those whom the run is not about.
        selected: names of those that the run is about.
        fingerprint: hash of all names and pixels.
        skipped: what is no photo among those of all people, or belongs to nobody, each with its reason.
        cut: settings by which the photos were cut, for records.
        own: what stands for a name, a photo or a problem -> what it is called at home; never stored. Empty: as named.
    """

    name: str
    licence: str
    identities: tuple[Identity, ...]
    selected: tuple[str, ...]
    fingerprint: str
    skipped: tuple[str, ...] = ()
    cut: dict[str, Any] = field(default_factory=dict, compare=False)
    own: Mapping[str, str] = field(default_factory=dict, compare=False, repr=False)


@dataclass(frozen=True)
class Budget:
    """The largest change of any pixel, in grey levels of 255, as measured on the saved 8-bit PNG."""

    levels: float

    def __post_init__(self) -> None:
        if not (math.isfinite(self.levels) and 0 <= self.levels <= 255):
            raise ValueError(f"a budget is between 0 and 255 grey levels, not {self.levels}")

    @property
    def whole_levels(self) -> int:
        """Whole grey levels that fit: 8-bit files cannot use the fraction, and rounding up would exceed the budget."""
        return math.floor(self.levels)

    @property
    def radius(self) -> float:
        """Radius of the L-infinity ball for photos in [0, 1]."""
        return self.whole_levels / 255
