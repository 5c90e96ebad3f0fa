"""What one recogniser, the judge or a witness, knows of a data set's people: references and thresholds."""

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
from metrics import identity

Look = Callable[[str, Sequence[Pixels]], FaceDetections]
"""(key of the pictures, pictures) -> what the recogniser sees in them."""

MIN_REFERENCES = 3
DRAWS = (4, 16)
"""Numbers of pictures of which one may leak."""
SAME = 0.9
"""No photos of two people are as similar as this, by any recogniser."""


class Recognition:
    """References, the leak threshold and the scale of similarities, each computed when first needed.

    Args:
        look: the recogniser; expected to remember what it has seen.
        data: the people.
        far: false-accept rate of the threshold.
    """

    def __init__(self, look: Look, data: Dataset, far: float) -> None:
        self.look = look
        self._data = data
        self._far = far
        self._seen: dict[str, FaceDetections] = {}

    @cached_property
    def references(self) -> dict[str, Array]:
        """Person -> reference embedding, for everybody with enough recognisable clean photos."""
        self._look_at(self._data.identities)
        known = {
            p.name: FaceDetections(self.photos(p).faces[: len(p.clean)]).embeddings() for p in self._data.identities
        }
        return {name: identity.centroid(e) for name, e in known.items() if len(e) >= MIN_REFERENCES}

    @cached_property
    def threshold(self) -> Threshold:
        """The leak threshold of this data set.

        Raises:
            BenchError: not enough strangers to calibrate on.
        """
        return calibrate(self.references, self._known, self._far, self._strangers)

    def ends(self, person: Identity) -> tuple[float, float]:
        """Mean similarity of strangers' photos to a person's reference, and of the person's own clean photos."""
        others = [e for name, e in self._known.items() if name != person.name]
        reference = self.references[person.name]
        strangers = np.concatenate([e @ reference for e in (*others, self._strangers) if len(e)])
        clean = FaceDetections(self.photos(person).faces[: len(person.clean)]).embeddings()
        return float(strangers.mean()), identity.leave_one_out(clean)

    def scores(self, person: Identity, seen: FaceDetections) -> tuple[dict[str, float | None], dict[str, str]]:
        """The identity metrics of a person's generated pictures, and why some have no value."""
        similarity = seen.similarity(self.references[person.name])
        threshold = self.threshold.value
        values: dict[str, float | None] = {
            "fdfr": identity.fdfr(similarity),
            "ism_detected": identity.ism_detected(similarity),
            "ism_zero": identity.ism_zero(similarity),
            "ism_calibrated": identity.ism_calibrated(similarity, *self.ends(person)),
            "ilr": identity.ilr(similarity, threshold),
            **{f"any_leak@{draws}": identity.any_leak(similarity, threshold, draws) for draws in DRAWS},
        }
        reasons = {
            "ism_detected": f"fewer than {identity.MIN_DETECTED} generated pictures with a face",
            "ism_calibrated": "the recogniser finds strangers as similar as the person",
            **{f"any_leak@{draws}": f"fewer than {draws} generated pictures" for draws in DRAWS},
        }
        return values, {name: reason for name, reason in reasons.items() if values[name] is None}

    def photos(self, person: Identity) -> FaceDetections:
        """What is seen in each of a person's photos, the clean ones first."""
        everything = person.clean + person.protect
        key = hash_of([photo.sha256 for photo in everything])
        if key not in self._seen:
            self._seen[key] = self.look(key, [photo.pixels for photo in everything])
        return self._seen[key]

    def doubts(self) -> list[str]:
        """What may be wrong with who is on the photos, a sentence each; see `bench.evaluation.label_noise`.

        Raises:
            BenchError: nobody is recognised.
        """
        self._look_at(self._data.identities)
        people = {person.name: self._sightings(person) for person in self._data.identities}
        return doubts(people, self._strangers, self._far)

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
    def _known(self) -> dict[str, Array]:
        """Person -> embeddings of all their photos, for everybody with a reference."""
        return {p.name: self.photos(p).embeddings() for p in self._data.identities if p.name in self.references}

    @cached_property
    def _strangers(self) -> Array:
        """The shipped synthetic people, as strangers for data sets with too few pairs of their own; else nobody.

        Those who are among the people themselves are no strangers.
        """
        pairs = sum(map(len, self._known.values())) * (len(self._known) - 1)
        if not self._known:
            raise BenchError("Nobody is recognised in these photos.", "Each should show one face; try data.crop=face.")
        people = Synthetic(limit=0).load(SIDE).identities if pairs < MIN_PAIRS else ()
        self._look_at(people)
        known = np.concatenate(list(self._known.values()))
        seen = [e for p in people if len(e := self.photos(p).embeddings())]
        return np.concatenate([known[:0], *(e for e in seen if (e @ known.T).max() < SAME)])


def by_picture(seen: FaceDetections) -> Array:
    """(n, d) embeddings of the largest face of every picture, NaN where there is none; (n, 1) if there is no face."""
    size = next((face.embedding.shape for faces in seen.faces for face in faces), (1,))
    nothing = np.full(size, np.nan)
    return np.array([max(f, key=lambda face: face.area).embedding if f else nothing for f in seen.faces])
