"""What scores pictures without knowing who is on them: visibility of cloaks, and quality of generated pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from bench.core.hashing import hash_of, sha256_array
from bench.core.types import Array, Pixels
from metrics import iqa, perceptual, quality, visibility

VISIBILITY: dict[str, Callable[[Pixels, Pixels], float | None]] = {
    "linf": visibility.linf,
    "l1": perceptual.l1,
    "psnr": visibility.psnr,
    "ssim": visibility.ssim,
    "ms_ssim": perceptual.ms_ssim,
    "gmsd": perceptual.gmsd,
    "ciede2000": perceptual.ciede2000,
}
"""Of (clean, cloaked) photos, without weights; None where a photo is too small."""

QUALITY: dict[str, Callable[[Pixels], float]] = {"blur": quality.blur}
"""Of one picture, without weights."""


@dataclass(frozen=True)
class Comparison:
    """Scores of cloaked photos beside the clean ones, photo by photo: (n,) each, NaN where there is none.

    Attributes:
        names: keys of `VISIBILITY`, or one of pyiqa's full-reference metrics.
        clean: the photos before.
        device: tells where pyiqa computes.
    """

    names: tuple[str, ...]
    clean: tuple[Pixels, ...]
    device: Callable[[], str] = lambda: "cpu"

    @property
    def fingerprint(self) -> str:
        return hash_of([_versions(self.names, VISIBILITY), [sha256_array(photo) for photo in self.clean]])

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        return {name: self._scores(name, pictures) for name in self.names}

    def _scores(self, name: str, cloaked: Sequence[Pixels]) -> Array:
        if name not in VISIBILITY:
            return iqa.distance(name, self.clean, cloaked, self.device())
        return np.array([VISIBILITY[name](a, b) for a, b in zip(self.clean, cloaked, strict=True)], np.float64)


@dataclass(frozen=True)
class Quality:
    """A score of each picture: (n,).

    Attributes:
        name: a key of `QUALITY`, or one of pyiqa's no-reference metrics.
        device: tells where pyiqa computes.
    """

    name: str
    device: Callable[[], str] = lambda: "cpu"

    @property
    def fingerprint(self) -> str:
        return hash_of(_versions((self.name,), QUALITY))

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        if self.name in QUALITY:
            return {self.name: np.array([QUALITY[self.name](picture) for picture in pictures], np.float64)}
        return {self.name: iqa.score(self.name, pictures, self.device())}


def _versions(names: Sequence[str], own: Mapping[str, Callable[..., float | None]]) -> list[str]:
    """What scores depend on besides the pictures; of our own metrics, the code, which keys have already."""
    return [name if name in own else iqa.fingerprint(name) for name in names]
