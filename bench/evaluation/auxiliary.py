"""A witness: a recogniser besides the judges, so that a leak is not one network's whim.

Witnesses are packs of ONNX files, as zero-shot attacks and some defenses use them; so they may have been attacked,
which the judges never were. And dlib's recogniser, of which the embedded `facelet-id-a` is distilled: what is made
against that one turns dlib away, too, so it was no judge of it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Protocol

import numpy as np

from bench.core.errors import BenchError
from bench.core.types import Array, Pixels
from bench.evaluation.detections import FaceDetections
from bench.models.faces.dlib_recogniser import DlibRecogniser
from bench.models.faces.face import Face
from bench.models.faces.insightface import Pack, analyser, locate_pack
from bench.models.weights.files import ZOO
from bench.models.weights.published import PACKS, Missing, insightface_home

DLIB = "dlib"
"""Name of the witness that is related to `facelet-id-a`."""

Row = tuple[int, float, Array, Array]
"""Picture, score, box (4,) as fractions and embedding (d,) of one face."""


class Witness(Protocol):
    """Finds and describes faces; an `Instrument` with a name."""

    name: str

    @property
    def fingerprint(self) -> str:
        """Hash of the files."""

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        """Every face of every picture: `picture` (m,), `score` (m,), `box` (m, 4) as fractions, `embedding` (m, d).

        Embeddings are float32, the rest is float64.
        """


def witness(source: str) -> Witness:
    """The witness of a name: dlib, or a pack."""
    return DlibWitness() if source == DLIB else PackWitness(source)


class DlibWitness:
    """Finds and describes faces with dlib's detector and recogniser."""

    name = DLIB

    def __init__(self) -> None:
        self._dlib = DlibRecogniser()

    @property
    def fingerprint(self) -> str:
        """Hash of the files."""
        return self._dlib.fingerprint

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        """As every witness."""
        return _columns(
            (index, face.score, np.array(face.box), face.embedding)
            for index, picture in enumerate(pictures)
            for face in self._dlib.find(picture)
        )


class PackWitness:
    """Finds and describes faces with a pack. Deterministic; loads its networks on first use.

    Args:
        source: a shipped pack, one of those that insightface keeps, or a folder.
    """

    def __init__(self, source: str) -> None:
        self._source = source
        self.name = Path(source).name

    @cached_property
    def pack(self) -> Pack:
        """The verified files.

        Raises:
            BenchError: they are not here.
        """
        given = Path(self._source).expanduser()
        places = (ZOO / "recognisers" / self._source, given, insightface_home() / self._source)
        found = next((place for place in places if place.is_dir()), None)
        if found is None and self._source in PACKS:
            raise Missing([PACKS[self._source]])
        if found is None:
            raise BenchError(  # stands in records, so without the place of anybody's home
                f"There is no recogniser {self._source!r}.",
                "Unpack an insightface pack into ~/.insightface/models, or give its folder in metric.recognisers.",
            )
        return locate_pack(str(found))

    @property
    def fingerprint(self) -> str:
        """Hash of the files."""
        return self.pack.fingerprint

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        """As every witness."""
        rows: list[Row] = []
        for index, picture in enumerate(pictures):
            height, width = picture.shape[:2]
            for face in analyser(self.pack).faces(picture):
                rows.append((index, face.score, face.box / [width, height, width, height], face.normed))
        return _columns(rows)


def _columns(faces: Iterable[Row]) -> dict[str, Array]:
    """What `Witness.describe` gives; embeddings are rounded to single precision, in which networks compute them."""
    rows = list(faces)
    return {
        "picture": np.array([row[0] for row in rows], np.float64),
        "score": np.array([row[1] for row in rows], np.float64),
        "box": np.array([row[2] for row in rows], np.float64).reshape(-1, 4),
        "embedding": np.array([row[3] for row in rows], np.float32) if rows else np.empty((0, 0), np.float32),
    }


def seen(described: Mapping[str, Array], count: int) -> FaceDetections:
    """What a witness described in `count` pictures, face by face."""
    faces: list[list[Face]] = [[] for _ in range(count)]
    columns = (described[name] for name in ("picture", "score", "box", "embedding"))
    for picture, score, (left, top, right, bottom), embedding in zip(*columns, strict=True):
        faces[int(picture)].append(Face((left, top, right, bottom), float(score), embedding.astype(np.float64)))
    return FaceDetections(tuple(tuple(found) for found in faces))
