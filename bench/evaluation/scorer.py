"""The metrics of one cell: what the judges, the witnesses and the other instruments say of its photos and pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import NamedTuple

import numpy as np

from bench.config.schema import MetricSettings, Protocol
from bench.core.errors import BenchError, unknown_name
from bench.core.types import Array, Dataset, Identity, Pixels
from bench.evaluation import clip_score, detections
from bench.evaluation.auxiliary import Witness, seen, witness
from bench.evaluation.clip_score import ClipScore
from bench.evaluation.detections import FaceDetections
from bench.evaluation.image_metrics import Comparison, Quality, measured
from bench.evaluation.instrument import Instrument, described
from bench.evaluation.judgement import Judgement
from bench.evaluation.recognition import Recognition
from bench.evaluation.shipped_faces import shipped, shipped_description
from bench.models.faces.panel import Panel
from bench.store import Store
from metrics import METRICS, identity, perceptual
from metrics.perceptual import MS_SSIM_SIDE

WITNESSED = ("fdfr", "likeness", "ilr")
"""Metrics that witnesses testify to, too; more of them would only repeat these."""


class KeyedImages(NamedTuple):
    """Pictures and the key of what made them."""

    key: str
    pictures: Sequence[Pixels]


@dataclass
class CellMetrics:
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
    """Scores cells. Holds what they share: the judges and the witnesses, with what they know of the people.

    Args:
        settings: what to measure besides the judges' scores.
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
        self.panel = Panel()

    @cached_property
    def judgement(self) -> Judgement:
        """What the judges know of the people."""
        return Judgement(self._judged, self.panel.names, self._data, self._protocol.far)

    @cached_property
    def _witnesses(self) -> dict[str, Recognition]:
        witnesses = [witness(source) for source in self._settings.recognisers]
        return {w.name: Recognition(partial(self._witnessed, w), self._data) for w in witnesses}

    def score(
        self,
        person: Identity,
        cloaked: KeyedImages,
        pictures: KeyedImages,
        faces: Mapping[str, FaceDetections],
    ) -> CellMetrics:
        """All metrics of a cell.

        Args:
            person: whose leak is measured.
            cloaked: the photos, cloaked.
            pictures: what was generated.
            faces: what each judge sees in the generated pictures.
        """
        scores = CellMetrics()
        scores.metrics, scores.unavailable = self.judgement.scores(person, faces)
        scores.thresholds = dict(self.judgement.scale(person))
        scores.metrics |= self.judgement.photos(person, *cloaked)
        if scores.metrics["retention"] is None:
            scores.unavailable["retention"] = "the judges find no face in the clean photos"
        for name, recognition in self._witnesses.items():
            self._testify(scores, name, recognition, person, pictures)
        self._visibility(scores, person, cloaked)
        self._quality(scores, pictures)
        return scores

    def lacking(self) -> list[str]:
        """What is asked for and will have no value, since a package or a pack of networks is not on this machine."""
        instruments = [Comparison((name,), (), self._device) for name in self._settings.visibility]
        found = [*instruments, *(self._instrument(name) for name in self._settings.quality)]
        reasons = []
        for instrument in (*found, *(witness(source) for source in self._settings.recognisers)):
            try:
                _ = instrument.fingerprint
            except BenchError as error:
                reasons.append(_one_line(error))
        return list(dict.fromkeys(reasons))

    def _testify(
        self, scores: CellMetrics, name: str, recognition: Recognition, person: Identity, pictures: KeyedImages
    ) -> None:
        """Add what a witness says; one that is not here, or does not know the person, says why instead."""
        reason = self._broken.get(name, "")
        if not reason:
            try:
                if person.name in recognition.references:
                    return self._add(scores, name, recognition, person, recognition.look(*pictures))
                reason = f"{name} recognises too few clean photos of {person.name}"
            except BenchError as error:
                reason = self._broken[name] = _one_line(error)
        for metric in WITNESSED:
            scores.lack(f"{metric}.{name}", reason)
        return None

    def _add(
        self, scores: CellMetrics, name: str, recognition: Recognition, person: Identity, seen: FaceDetections
    ) -> None:
        similarity, threshold = (
            seen.similarity(recognition.references[person.name]),
            recognition.pooled_threshold(self._protocol.far),
        )
        scaled = identity.on_scale(similarity, recognition.impostor_mean(person), recognition.own(person))
        scores.metrics |= {
            f"fdfr.{name}": identity.fdfr(similarity),
            f"ilr.{name}": identity.ilr(identity.passing(similarity, threshold.value)),
        }
        scores.thresholds |= {f"ilr.{name}": threshold.value, f"pairs.{name}": float(threshold.pairs)}
        if scaled is None:
            scores.lack(f"likeness.{name}", "the recogniser finds strangers as similar as the person")
        else:
            scores.metrics[f"likeness.{name}"] = float(scaled.mean())

    def _visibility(self, found: CellMetrics, person: Identity, cloaked: KeyedImages) -> None:
        """Means over photos and their worst tenth; of the largest change, the largest."""
        clean = tuple(photo.pixels for photo in person.protect)
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

    def _quality(self, found: CellMetrics, pictures: KeyedImages) -> None:
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
        self, found: CellMetrics, shown: KeyedImages, instrument: Instrument, names: tuple[str, ...]
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

    def _judged(self, key: str, pictures: Sequence[Pixels]) -> dict[str, FaceDetections]:
        folder = shipped(key, self.panel)
        if folder is None:
            full = detections.key(key, self.panel)
            entry = self._store.compute("faces", full, lambda place: detections.measure(place, pictures, self.panel))
            folder = entry.path
        return detections.load(folder, len(pictures))

    def _witnessed(self, looking: Witness, key: str, pictures: Sequence[Pixels]) -> FaceDetections:
        known = shipped_description(key, looking)
        return seen(described(self._store, key, pictures, looking) if known is None else known, len(pictures))


def _one_line(error: BenchError) -> str:
    return str(error).replace("\n", " ")
