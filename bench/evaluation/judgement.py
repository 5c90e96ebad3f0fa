"""What the judges say of people and pictures: thresholds and scales of each person, and the identity metrics.

A picture leaks if any judge recognises the person, each at its share of the stated false-accept rate. Thresholds rest
on a person's own reference and the fixed cohort (`bench.evaluation.cohort`): who else is in the data set changes none.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from bench.core.types import Array, Dataset, Identity, Pixels
from bench.evaluation.cohort import MATCHED, cohort, thresholds
from bench.evaluation.detections import FaceDetections
from bench.evaluation.recognition import Recognition, by_picture
from metrics import identity
from metrics.identity import Leaks

LookAll = Callable[[str, Sequence[Pixels]], Mapping[str, FaceDetections]]
"""(key of the pictures, pictures) -> judge -> what it sees in them."""

DRAWS = (4, 16)
"""Numbers of pictures of which one may leak."""


class Judgement:
    """The judges, with what they know of a data set's people.

    Args:
        look: the judges; expected to remember what they have seen.
        judges: their names.
        data: the people.
        far: false-accept rate of all judges together.
    """

    def __init__(self, look: LookAll, judges: Sequence[str], data: Dataset, far: float) -> None:
        self._look = look
        self._data = data
        self._far = far
        self._scales: dict[str, dict[str, float]] = {}
        self._seen: dict[str, Mapping[str, FaceDetections]] = {}
        self.recognitions = {judge: Recognition(partial(self._seen_by, judge), data) for judge in judges}

    def knows(self, name: str) -> bool:
        """Whether every judge recognises enough of a person's clean photos."""
        return all(name in recognition.references for recognition in self.recognitions.values())

    def doubts(self) -> list[str]:
        """What may be wrong with who is on the photos, by the first judge: see `Recognition.doubts`."""
        return next(iter(self.recognitions.values())).doubts(self._far)

    def scale(self, person: Identity) -> dict[str, float]:
        """What a person's scores rest on, as records state it.

        For each judge `ilr.<judge>` and `ilr_matched.<judge>`, the thresholds; `stranger.<judge>` and `own.<judge>`,
        the mean similarity of the cohort's photos and of the person's own. And `far`.
        """
        if person.name not in self._scales:
            references = {judge: r.references[person.name] for judge, r in self.recognitions.items()}
            world = {judge: cohort(judge) for judge in references}
            facts = {
                "ilr": thresholds(references, world, self._far),
                "ilr_matched": thresholds(references, world, self._far * MATCHED),
                "stranger": {judge: world[judge].stranger(reference) for judge, reference in references.items()},
                "own": {judge: recognition.own(person) for judge, recognition in self.recognitions.items()},
            }
            each = {f"{name}.{judge}": value for name, values in facts.items() for judge, value in values.items()}
            self._scales[person.name] = {"far": self._far, **each}
        return self._scales[person.name]

    def similarity(self, person: Identity, seen: Mapping[str, FaceDetections]) -> dict[str, Array]:
        """Judge -> (n,) largest cosine of any face of a picture to the person's reference; NaN without a face."""
        return {judge: seen[judge].similarity(r.references[person.name]) for judge, r in self.recognitions.items()}

    def leaks(self, person: Identity, seen: Mapping[str, FaceDetections]) -> Leaks:
        """(n,) which pictures pass for a person."""
        return identity.recognised(self.similarity(person, seen), self._of(person, "ilr"))

    def scores(
        self, person: Identity, seen: Mapping[str, FaceDetections]
    ) -> tuple[dict[str, float | None], dict[str, str]]:
        """The identity metrics of a person's generated pictures, and why some have no value."""
        cosines, limits = self.similarity(person, seen), self._of(person, "ilr")
        mean, leaking = np.mean(list(cosines.values()), axis=0), identity.recognised(cosines, limits)
        alike = identity.likeness(cosines, self._of(person, "stranger"), self._of(person, "own"))
        values: dict[str, float | None] = {
            "fdfr": identity.fdfr(mean),
            "ism_detected": identity.ism_detected(mean),
            "ism_zero": identity.ism_zero(mean),
            "likeness": None if alike is None else float(alike.mean()),
            "ilr": identity.ilr(leaking),
            "ilr_matched": identity.ilr(identity.recognised(cosines, self._of(person, "ilr_matched"))),
            "false_leak": self._false_leak(person, seen),
            **{f"ilr.{judge}": identity.ilr(identity.passing(c, limits[judge])) for judge, c in cosines.items()},
            **{f"any_leak@{draws}": identity.any_leak(leaking, draws) for draws in DRAWS},
        }
        reasons = {
            "ism_detected": f"fewer than {identity.MIN_DETECTED} generated pictures with a face",
            "likeness": "the judges find strangers as similar as the person",
            "false_leak": "nobody else is in the data set",
            **{f"any_leak@{draws}": f"fewer than {draws} generated pictures" for draws in DRAWS},
        }
        return values, {name: reason for name, reason in reasons.items() if values[name] is None}

    def photos(self, person: Identity, key: str, cloaked: Sequence[Pixels]) -> dict[str, float | None]:
        """What cloaked photos still show of a person: `photos_recognised` and `retention`.

        Args:
            person: whose photos they are.
            key: what names them.
            cloaked: set B, cloaked; without a cloak, as they were.
        """
        pairs = zip(person.protect, cloaked, strict=True)
        if all(np.array_equal(photo.pixels, picture) for photo, picture in pairs):  # seen already
            after: Mapping[str, FaceDetections] = {j: r.protected(person) for j, r in self.recognitions.items()}
        else:
            after = self._look(key, cloaked)
        kept = [
            identity.retention(by_picture(recognition.protected(person)), by_picture(after[judge]))
            for judge, recognition in self.recognitions.items()
        ]
        known = [value for value in kept if value is not None]
        return {
            "photos_recognised": identity.ilr(self.leaks(person, after)),
            "retention": float(np.mean(known)) if known else None,
        }

    def _of(self, person: Identity, name: str) -> dict[str, float]:
        """Judge -> what `scale` states under a name."""
        scale = self.scale(person)
        return {judge: scale[f"{name}.{judge}"] for judge in self.recognitions}

    def _false_leak(self, person: Identity, seen: Mapping[str, FaceDetections]) -> float | None:
        """The share of these pictures, and of all other people of the data set, in which they pass for each other."""
        others = [other for other in self._data.identities if other.name != person.name and self.knows(other.name)]
        return float(np.mean([self.leaks(other, seen).mean() for other in others])) if others else None

    def _seen_by(self, judge: str, key: str, pictures: Sequence[Pixels]) -> FaceDetections:
        if key not in self._seen:  # every judge asks for the same photos
            self._seen[key] = self._look(key, pictures)
        return self._seen[key][judge]
