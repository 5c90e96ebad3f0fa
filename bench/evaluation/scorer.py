"""The metrics of one cell: what the judge, the witnesses and the other instruments say of its photos and pictures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from bench.config.schema import MetricSettings, Protocol
from bench.core.errors import BenchError, unknown_name
from bench.core.types import Array, Dataset, Identity, Pixels
from bench.evaluation import clip_score, detections
from bench.evaluation.auxiliary import Witness, seen
from bench.evaluation.clip_score import ClipScore
from bench.evaluation.detections import FaceDetections
from bench.evaluation.image_metrics import Comparison, Quality, measured
from bench.evaluation.instrument import Instrument, described
from bench.evaluation.recognition import Recognition, by_picture
from bench.models.faces.judges import Judge
from bench.store import Store
from metrics import METRICS, identity, perceptual
from metrics.perceptual import MS_SSIM_SIDE

WITNESSED = ("fdfr", "ism_calibrated", "ilr")
"""Metrics that witnesses testify to, too; more of them would only repeat these."""


class KeyedImages(NamedTuple):
    """Pictures and the key of what made them."""

    key: str
    pictures: Sequence[Pixels]


@dataclass
class Scores:
    """Metrics of one cell.

    Attributes:
        metrics: name -> value; None where there is none, and `unavailable` says why.
        unavailable: name -> reason.
        thresholds: what leak rates rest on.
        pictures: for every generated picture, name -> score of its quality.
    """

    metrics: dict[str, float | None] = field(default_factory=dict)
    unavailable: dict[str, str] = field(default_factory=dict)
    thresholds: dict[str, float] = field(default_factory=dict)
    pictures: list[dict[str, float]] = field(default_factory=list)

    def lack(self, name: str, reason: str) -> None:
        """There is no value of this name."""
        self.metrics[name] = None
        self.unavailable[name] = reason


class Scorer:
    """Scores cells. Holds what they share: the judge and the witnesses, with what they know of the people.

    Args:
        settings: what to measure besides the judge's scores.
        protocol: what was generated, and the false-accept rate of leak thresholds.
        data: the people.
        store: where what was seen is kept.
        device: tells where pyiqa computes.

    Raises:
        BenchError: the settings name a metric that nobody registered.
    """

    def __init__(
        self, settings: MetricSettings, protocol: Protocol, data: Dataset, store: Store, device: Callable[[], str]
    ) -> None:
        for topic in ("quality", "visibility"):
            of_topic = METRICS.of(topic)
            for name in getattr(settings, topic):
                if name not in of_topic:
                    raise unknown_name(f"{topic} metric", name, of_topic)
        self._settings = settings
        self._protocol = protocol
        self._data = data
        self._store = store
        self._device = device
        self._broken: dict[str, str] = {}
        self.judge = Judge()

    @cached_property
    def recognition(self) -> Recognition:
        """What the judge knows of the people."""
        return Recognition(self._judged, self._data, self._protocol.far)

    @cached_property
    def _witnesses(self) -> dict[str, Recognition]:
        found = [Witness(source) for source in self._settings.recognisers]
        return {w.name: Recognition(partial(self._witnessed, w), self._data, self._protocol.far) for w in found}

    def score(
        self,
        person: Identity,
        photo_source: Identity,
        cloaked: KeyedImages,
        pictures: KeyedImages,
        faces: FaceDetections,
    ) -> Scores:
        """All metrics of a cell.

        Args:
            person: whose leak is measured.
            photo_source: whose photos were cloaked.
            cloaked: these photos, cloaked.
            pictures: what was generated.
            faces: what the judge sees in the generated pictures.
        """
        found = Scores()
        found.metrics, found.unavailable = self.recognition.scores(person, faces)
        threshold = self.recognition.threshold
        found.thresholds = {"ilr": threshold.value, "far": threshold.far, "pairs": float(threshold.pairs)}
        self._retention(found, photo_source, cloaked)
        for name, witness in self._witnesses.items():
            self._testify(found, name, witness, person, pictures)
        self._visibility(found, photo_source, cloaked)
        self._quality(found, pictures)
        return found

    def lacking(self) -> list[str]:
        """What is asked for and will have no value, since a package or a pack of networks is not on this machine."""
        instruments = [Comparison((name,), (), self._device) for name in self._settings.visibility]
        found = [*instruments, *(self._instrument(name) for name in self._settings.quality)]
        reasons = []
        for instrument in (*found, *(Witness(source) for source in self._settings.recognisers)):
            try:
                _ = instrument.fingerprint
            except BenchError as error:
                reasons.append(_one_line(error))
        return list(dict.fromkeys(reasons))

    def _retention(self, found: Scores, photo_source: Identity, cloaked: KeyedImages) -> None:
        before = FaceDetections(self.recognition.photos(photo_source).faces[len(photo_source.clean) :])
        pairs = zip(photo_source.protect, cloaked.pictures, strict=True)
        same = all(np.array_equal(photo.pixels, picture) for photo, picture in pairs)  # without a cloak: seen already
        after = before if same else self.recognition.look(*cloaked)
        found.metrics["retention"] = identity.retention(by_picture(before), by_picture(after))
        if found.metrics["retention"] is None:
            found.unavailable["retention"] = "the judge finds no face in the clean photos"

    def _testify(self, found: Scores, name: str, witness: Recognition, person: Identity, pictures: KeyedImages) -> None:
        """Add what a witness says; one that is not here, or does not know the person, says why instead."""
        reason = self._broken.get(name, "")
        if not reason:
            try:
                if person.name in witness.references:
                    values, reasons = witness.scores(person, witness.look(*pictures))
                    found.metrics |= {f"{metric}.{name}": values[metric] for metric in WITNESSED}
                    found.unavailable |= {f"{m}.{name}": reasons[m] for m in WITNESSED if m in reasons}
                    found.thresholds |= {
                        f"ilr.{name}": witness.threshold.value,
                        f"pairs.{name}": float(witness.threshold.pairs),
                    }
                    return
                reason = f"{name} recognises too few clean photos of {person.name}"
            except BenchError as error:
                reason = self._broken[name] = _one_line(error)
        for metric in WITNESSED:
            found.lack(f"{metric}.{name}", reason)

    def _visibility(self, found: Scores, photo_source: Identity, cloaked: KeyedImages) -> None:
        """Means over photos and their worst tenth; of the largest change, the largest."""
        clean = tuple(photo.pixels for photo in photo_source.protect)
        for names in (measured("visibility"), *((name,) for name in self._settings.visibility)):
            scores = self._describe(found, cloaked, Comparison(names, clean, self._device), names)
            for name, values in scores.items():
                if not np.isfinite(values).all():
                    small = name == "ms_ssim"
                    found.lack(name, f"a photo is smaller than {MS_SSIM_SIDE} px" if small else "a photo has no value")
                elif name == "linf":
                    found.metrics[name] = float(values.max())
                else:
                    found.metrics[name] = float(values.mean())
                    found.metrics[f"{name}.worst"] = perceptual.worst(list(values), METRICS.get(name).lower_is_better)

    def _quality(self, found: Scores, pictures: KeyedImages) -> None:
        found.pictures = [{} for _ in pictures.pictures]
        for name in self._settings.quality:
            for values in self._describe(found, pictures, self._instrument(name), (name,)).values():
                if not np.isfinite(values).all():
                    found.lack(name, f"{name} has no finite value of {int((~np.isfinite(values)).sum())} pictures")
                    continue
                found.metrics[name] = float(values.mean())
                for scores, value in zip(found.pictures, values, strict=True):
                    scores[name] = float(value)

    def _instrument(self, name: str) -> Instrument:
        """What gives generated pictures a score."""
        if name != clip_score.NAME:
            return Quality(name, self._device)
        return ClipScore(self._settings.clip, self._protocol.asked, self._device)

    def _describe(
        self, found: Scores, shown: KeyedImages, instrument: Instrument, names: tuple[str, ...]
    ) -> dict[str, Array]:
        """What an instrument says; nothing, and the reason in `found`, if it is not to be had on this machine."""
        if names[0] not in self._broken:
            try:
                return described(self._store, *shown, instrument)
            except BenchError as error:
                self._broken[names[0]] = _one_line(error)
        for name in names:
            found.lack(name, self._broken[names[0]])
        return {}

    def _judged(self, key: str, pictures: Sequence[Pixels]) -> FaceDetections:
        full = detections.key(key, self.judge)
        entry = self._store.compute("faces", full, lambda folder: detections.measure(folder, pictures, self.judge))
        return detections.load(entry.path, len(pictures))

    def _witnessed(self, witness: Witness, key: str, pictures: Sequence[Pixels]) -> FaceDetections:
        return seen(described(self._store, key, pictures, witness), len(pictures))


def _one_line(error: BenchError) -> str:
    return str(error).replace("\n", " ")
