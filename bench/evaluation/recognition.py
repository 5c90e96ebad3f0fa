"""What one recogniser, a judge or a witness, knows of a data set's people: their photos and references."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from functools import cached_property

import numpy as np

from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.types import Array, Dataset, Identity, Pixels
from bench.data.synthetic import SIDE, Synthetic
from bench.evaluation.detections import FaceDetections
from bench.evaluation.label_noise import Sighting, doubts
from bench.evaluation.thresholds import MIN_PAIRS, Threshold, calibrate
from bench.store import about
from metrics import identity

Look = Callable[[str, Sequence[Pixels]], FaceDetections]
"""(key of the pictures, pictures) -> what the recogniser sees in them."""

MIN_REFERENCES = 3
SAME = 0.9
"""No photos of two people are as similar as this, by any recogniser."""


class Recognition:
    """Photos and references by one recogniser, each computed when first needed.

    Args:
        look: the recogniser; expected to remember what it has seen.
        data: the people.
    """

    def __init__(self, look: Look, data: Dataset) -> None:
        self.look = look
        self._data = data
        self._seen: dict[str, FaceDetections] = {}

    @cached_property
    def references(self) -> dict[str, Array]:
        """Person -> reference embedding, for everybody with enough recognisable clean photos."""
        self._look_at(self._data.identities)
        clean = {person.name: self.clean(person).embeddings() for person in self._data.identities}
        return {name: identity.centroid(e) for name, e in clean.items() if len(e) >= MIN_REFERENCES}

    def photos(self, person: Identity) -> FaceDetections:
        """What is seen in each of a person's photos, the clean ones first."""
        everything = person.clean + person.protect
        key = hash_of([photo.sha256 for photo in everything])
        if key not in self._seen:
            with about(person.name):
                self._seen[key] = self.look(key, [photo.pixels for photo in everything])
        return self._seen[key]

    def clean(self, person: Identity) -> FaceDetections:
        """What is seen in each of a person's clean photos."""
        return FaceDetections(self.photos(person).faces[: len(person.clean)])

    def protected(self, person: Identity) -> FaceDetections:
        """What is seen in each of the photos to cloak, before they are."""
        return FaceDetections(self.photos(person).faces[len(person.clean) :])

    def own(self, person: Identity) -> float:
        """Mean similarity of a person's clean photos, each to a reference of the others."""
        return identity.leave_one_out(self.clean(person).embeddings())

    def pooled_threshold(self, far: float) -> Threshold:
        """One threshold for all people of the data set, set on their own impostor pairs (protocol 1; witnesses).

        Raises:
            BenchError: not enough pairs.
        """
        return calibrate(self.references, self._embeddings, far, self._impostors)

    def impostor_mean(self, person: Identity) -> float:
        """Mean similarity of other people's photos to a person's reference."""
        others = [e for name, e in self._embeddings.items() if name != person.name]
        reference = self.references[person.name]
        return float(np.concatenate([e @ reference for e in (*others, self._impostors) if len(e)]).mean())

    def doubts(self, far: float) -> list[str]:
        """What may be wrong with who is on the photos, a sentence each; see `bench.evaluation.label_noise`.

        Raises:
            BenchError: nobody is recognised.
        """
        self._look_at(self._data.identities)
        people = {person.name: self._sightings(person) for person in self._data.identities}
        return doubts(people, self._impostors, far)

    def _sightings(self, person: Identity) -> list[Sighting]:
        seen = self.photos(person).faces  # the clean photos first
        photos = sorted(person.by_set(), key=lambda item: item[0] == "B")
        return [
            Sighting(
                person.place(part, photo),
                part,
                np.array([face.embedding for face in sorted(faces, key=lambda face: face.area, reverse=True)]),
            )
            for (part, photo), faces in zip(photos, seen, strict=True)
        ]

    def _look_at(self, people: Sequence[Identity]) -> None:
        """See everybody, each process from a place of its own on: so they share the work, and do not wait in line."""
        start = os.getpid() % max(1, len(people))
        for person in (*people[start:], *people[:start]):
            self.photos(person)

    @cached_property
    def _embeddings(self) -> dict[str, Array]:
        """Person -> embeddings of all their photos, for everybody with a reference."""
        return {p.name: self.photos(p).embeddings() for p in self._data.identities if p.name in self.references}

    @cached_property
    def _impostors(self) -> Array:
        """The shipped synthetic people, as impostors for data sets with too few pairs of their own; else nobody.

        Those who are among the people themselves are no impostors.
        """
        pairs = sum(map(len, self._embeddings.values())) * (len(self._embeddings) - 1)
        if not self._embeddings:
            raise BenchError("Nobody is recognised in these photos.", "Each should show one face; try data.crop=face.")
        people = Synthetic(limit=0).load(SIDE).identities if pairs < MIN_PAIRS else ()
        self._look_at(people)
        own = np.concatenate(list(self._embeddings.values()))
        seen = [e for p in people if len(e := self.photos(p).embeddings())]
        return np.concatenate([own[:0], *(e for e in seen if (e @ own.T).max() < SAME)])


def by_picture(seen: FaceDetections) -> Array:
    """(n, d) embeddings of the largest face of every picture, NaN where there is none; (n, 1) if there is no face."""
    size = next((face.embedding.shape for faces in seen.faces for face in faces), (1,))
    nothing = np.full(size, np.nan)
    return np.array([max(f, key=lambda face: face.area).embedding if f else nothing for f in seen.faces])
