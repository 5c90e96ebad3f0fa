"""Do photos show whom their folders say? What the judge knows of them anyway answers that before anything is computed.

A photo is doubted if it is no more like the person's other photos than strangers' photos come to be, and stands apart
from the person's own. Two people are doubted if they are nearer to one person's two sets than to two strangers. Both
measures come from the data set itself, so they hold for any recogniser.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from bench.core.types import Array

FEWEST = 3
"""Photos whose mean is a person's face; of fewer, nothing is said."""
OUTLIER = 3.0
"""Standard deviations, estimated from the median deviation, by which a photo stands apart."""
SIGMA = 1.4826
"""Standard deviation of a normal distribution, in median absolute deviations."""


@dataclass(frozen=True)
class Sighting:
    """What a recogniser sees on one photo.

    Attributes:
        place: where the photo is, for people to read.
        part: its set: "A", "B" or "C".
        faces: (k, d) embeddings of unit length, the largest face first; k may be 0.
    """

    place: str
    part: str
    faces: Array


@dataclass(frozen=True)
class _Person:
    """Those photos of a person that have a face."""

    name: str
    sightings: tuple[Sighting, ...]

    @property
    def largest(self) -> Array:
        """(n, d) of each photo's largest face."""
        return np.array([sighting.faces[0] for sighting in self.sightings])

    @property
    def others(self) -> Array:
        """(n, d) for each photo, the mean of the photos in the other sets; of all others, if those are too few."""
        faces, parts = self.largest, np.array([sighting.part for sighting in self.sightings])
        means = []
        for index, part in enumerate(parts):
            apart = faces[parts != part]
            means.append(_mean(apart if len(apart) >= FEWEST else np.delete(faces, index, axis=0)))
        return np.array(means)


def doubts(people: Mapping[str, Sequence[Sighting]], strangers: Array, far: float) -> list[str]:
    """What may be wrong with who is on the photos, a sentence each.

    Args:
        people: name -> photos.
        strangers: (m, d) embeddings of others who are on none of the photos; m may be 0.
        far: share of strangers' photos that may be as similar as the threshold.
    """
    known = [
        _Person(name, seen)
        for name, photos in people.items()
        if len(seen := tuple(sighting for sighting in photos if len(sighting.faces))) > FEWEST
    ]
    if not known:
        return []
    own = [np.sum(person.largest * person.others, axis=1) for person in known]
    sure = _sure(known, own)
    means = np.array([_mean(person.largest[s]) for person, s in zip(known, sure, strict=True)])
    alike = means @ means.T
    np.fill_diagonal(alike, -1)
    # First without everybody's nearest: one person under two names would else be the measure of strangers.
    nearest = alike == alike.max(axis=1, keepdims=True)
    level = (_between_sets(known, sure) + _reached(known, sure, means, strangers, far, nearest)) / 2
    same = alike >= level
    limit = _reached(known, sure, means, strangers, far, same)
    said = [
        f"{known[a].name} and {known[b].name} may be one person: their mean faces have a similarity of "
        f"{alike[a, b]:.2f}, which from {level:.2f} on is more like one person's than like strangers'."
        for a, b in np.argwhere(same)
        if a < b
    ]
    for person, similarity in zip(known, own, strict=True):
        said += _photos(person, similarity, limit, far, known, means)
    return said


def _photos(
    person: _Person, similarity: Array, limit: float, far: float, known: Sequence[_Person], means: Array
) -> list[str]:
    """Doubts about a person's photos of the given similarities to the others."""
    median = float(np.median(similarity))
    spread = SIGMA * float(np.median(np.abs(similarity - median)))
    doubted = (similarity < limit) & ((similarity < median - OUTLIER * spread) | (median < limit))
    said = []
    for index in np.flatnonzero(doubted):
        sighting, other = person.sightings[index], person.others[index]
        measure = f"{similarity[index]:.2f}, and {far:.0%} of strangers reach {limit:.2f}"
        if (smaller := float((sighting.faces @ other).max())) >= limit:
            said.append(
                f"{sighting.place}: its largest face does not look like {person.name} (similarity to the other photos "
                f"{measure}); a smaller face does ({smaller:.2f})."
            )
            continue
        cosines = means @ sighting.faces[0]
        best = max((i for i in range(len(known)) if known[i] is not person), key=lambda i: cosines[i], default=None)
        like = ""
        if best is not None and cosines[best] >= limit:
            like = f" It looks like {known[best].name} ({cosines[best]:.2f})."
        said.append(
            f"{sighting.place} may not show {person.name}: its similarity to the other photos is {measure}.{like}"
        )
    return said


def _sure(known: Sequence[_Person], own: Sequence[Array]) -> list[npt.NDArray[np.bool_]]:
    """For every person, which photos are no more like another person; all, if too few are left."""
    means = np.array([_mean(person.largest) for person in known])
    chosen = []
    for index, (person, similarity) in enumerate(zip(known, own, strict=True)):
        elsewhere = np.delete(person.largest @ means.T, index, axis=1).max(axis=1, initial=-1)
        kept = similarity >= elsewhere
        chosen.append(kept if kept.sum() >= FEWEST else np.ones(len(kept), bool))
    return chosen


def _between_sets(known: Sequence[_Person], sure: Sequence[npt.NDArray[np.bool_]]) -> float:
    """Median similarity of the mean faces of a person's photos that are to be cloaked, and of the others."""
    cosines = []
    for person, kept in zip(known, sure, strict=True):
        cloaked = np.array([sighting.part == "B" for sighting in person.sightings])
        parts = [person.largest[kept & chosen] for chosen in (cloaked, ~cloaked)]
        if all(len(part) for part in parts):
            cosines.append(float(_mean(parts[0]) @ _mean(parts[1])))
    return float(np.median(cosines)) if cosines else 1.0


def _reached(
    known: Sequence[_Person],
    sure: Sequence[npt.NDArray[np.bool_]],
    means: Array,
    strangers: Array,
    far: float,
    excluded: npt.NDArray[np.bool_],
) -> float:
    """The similarity to a person that a share `far` of strangers' photos reach; NaN if there are none.

    Pairs of people in `excluded` do not count.
    """
    scores = [(strangers @ means.T).ravel()] if len(strangers) else []
    for index, (person, kept) in enumerate(zip(known, sure, strict=True)):
        others = ~excluded[index]
        others[index] = False
        scores.append((person.largest[kept] @ means[others].T).ravel())
    every = np.concatenate(scores)
    return float(np.quantile(every, 1 - far)) if len(every) else float("nan")


def _mean(embeddings: Array) -> Array:
    """The mean of embeddings (n, d), of unit length (d,)."""
    mean: Array = embeddings.mean(axis=0)
    return mean / np.linalg.norm(mean)
