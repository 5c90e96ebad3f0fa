"""Face detection and recognition as zero-shot attackers do it: insightface with a pack of ONNX files.

A pack is a folder with a detector (SCRFD) and a recogniser (ArcFace): one that comes with the package, or the user's
own buffalo_l or antelopev2, whose licence allows research only, so none of those is shipped. The judges are other
networks (`bench.models.faces.panel`): identity is not scored by what an attack has optimised.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.types import Array, Pixels
from bench.models.faces.sessions import session, session_options
from bench.models.weights.files import ZOO, hashes
from bench.models.weights.published import PACKS, Missing

if TYPE_CHECKING:
    from torch import Tensor

STRIDE = 32
"""The detector's coarsest stride: input sides are multiples of it."""
LARGEST, SMALLEST = 640, 64
"""Range of detector input sides; 640 is what SCRFD was trained at."""
THRESHOLD = 0.5
"""Detection score from which something is a face; the default of insightface."""


@dataclass(frozen=True)
class DetectedFace:
    """One face.

    Attributes:
        box: (4,) left, top, right, bottom in pixels; may reach outside the picture.
        points: (5, 2) x and y in pixels of left eye, right eye, nose, left and right corner of the mouth, as seen.
        score: detection confidence in [0, 1].
        embedding: (512,) as the recogniser gives it, not normalised. Which of the two an adapter expects is part of the
            adapter: FaceID wants `normed`, InstantID the raw one.
        side: detector input side at which it was found.
    """

    box: Array
    points: Array
    score: float
    embedding: Array
    side: int

    @property
    def area(self) -> float:
        """Area of the box in square pixels."""
        left, top, right, bottom = self.box
        return float((right - left) * (bottom - top))

    @property
    def normed(self) -> Array:
        """(512,) the embedding at unit length."""
        return np.asarray(self.embedding / np.linalg.norm(self.embedding))


def largest(faces: Sequence[DetectedFace]) -> DetectedFace | None:
    """The face with the largest box, or None if there is none."""
    return max(faces, key=lambda face: face.area, default=None)


@dataclass(frozen=True)
class Pack:
    """Verified files of a detector and a recogniser.

    Attributes:
        path: the folder with the ONNX files.
        fingerprint: hash of all of them.
    """

    path: Path
    fingerprint: str


def locate_pack(source: str) -> Pack:
    """Find a pack; loads nothing.

    Args:
        source: name of one that comes with the package ("facelet-id-a"), or of one of insightface ("buffalo_l"), or a
            folder. The ONNX files may be one level down: the official antelopev2 archive unpacks to
            antelopev2/antelopev2.

    Raises:
        BenchError: no such pack, or no ONNX files in it; `Missing` for one of insightface that is not here.
    """
    shipped = ZOO / "recognisers" / source
    folder = shipped if shipped.is_dir() else Path(source).expanduser()
    if source in PACKS and not folder.is_dir():
        found = PACKS[source].folder()
        if found is None:
            raise Missing([PACKS[source]])
        folder = found
    if not folder.is_dir():
        raise BenchError(
            f"There is no recogniser {source!r}.",
            f"Give the folder of an insightface pack, or the name of one: {', '.join(PACKS)}.",
        )
    homes = [folder] if any(folder.glob("*.onnx")) else sorted({file.parent for file in folder.glob("*/*.onnx")})
    if len(homes) > 1:
        names = ", ".join(home.name for home in homes)
        raise BenchError(f"The recogniser folder {folder} holds several packs: {names}.", "Give the folder of one.")
    if not homes:
        raise BenchError(
            f"The recogniser folder {folder} holds no .onnx files.",
            "Unpack an insightface pack there: buffalo_l (det_10g.onnx, w600k_r50.onnx) or antelopev2.",
        )
    files = {file.name: file for file in homes[0].glob("*.onnx")}
    return Pack(homes[0], hash_of(hashes(files, f"Unpack the pack into {folder} again.")))


@dataclass(frozen=True)
class Network:
    """The recognition network's file, and how it wants its pixels: (value in [0, 255] - mean) / std, RGB."""

    file: str
    mean: float
    std: float


class FaceAnalyser:
    """Finds and describes faces on the CPU; loads its networks on first use.

    Raises (when faces are first looked for):
        BenchError: the pack lacks a detector or a recogniser, or does not load.
    """

    def __init__(self, pack: Pack) -> None:
        self.pack = pack

    def faces(self, picture: Pixels) -> list[DetectedFace]:
        """All faces of one picture (h, w, 3) uint8 RGB, best detection first.

        The detector sees the picture at its own size first, then smaller: tight crops, where a face fills the picture,
        are missed at sizes where the face is larger than any that the detector was trained on.
        """
        bgr = np.ascontiguousarray(picture[:, :, ::-1])
        for side in _sides(max(picture.shape[:2])):
            # Without det_size, insightface 1.0 and later search at 128 and at 640 and merge what they find.
            self._app.prepare(ctx_id=0, det_thresh=THRESHOLD, det_size=(side, side))
            with warnings.catch_warnings(action="ignore", category=FutureWarning):  # insightface's, about scikit-image
                found = self._app.get(bgr)
            if found:
                return [
                    DetectedFace(
                        np.asarray(face.bbox, np.float64),
                        np.asarray(face.kps, np.float64),
                        float(face.det_score),
                        np.asarray(face.embedding, np.float64),
                        int(self._app.det_model.input_size[0]),  # a network of fixed size keeps to its own
                    )
                    for face in found
                ]
        return []

    @property
    def recognition(self) -> Network:
        """The network that embeds faces, for those who need its gradients."""
        model = self._app.models["recognition"]
        return Network(str(model.model_file), float(model.input_mean), float(model.input_std))

    @cached_property
    def _app(self) -> Any:
        from insightface.app import FaceAnalysis

        tasks = ["detection", "recognition"]
        try:
            with contextlib.redirect_stdout(io.StringIO()):  # versions before 2 print what they load
                app = FaceAnalysis(
                    name=str(self.pack.path),
                    allowed_modules=tasks,
                    providers=["CPUExecutionProvider"],
                    sess_options=session_options(),
                )
            missing = [task for task in tasks if task not in app.models]
        except AssertionError:  # how insightface says that there is no detector
            missing = tasks[:1]
        except Exception as error:  # onnxruntime's own types, none of them public; all mean a bad file
            raise BenchError(
                f"The recogniser in {self.pack.path} does not load: {type(error).__name__}: {error}",
                "Unpack the pack again.",
            ) from error
        if missing:
            raise BenchError(
                f"The recogniser in {self.pack.path} has no {missing[0]} network.",
                "A pack is two ONNX files: an SCRFD detector with key points and an ArcFace recogniser.",
            )
        return app


class Recogniser:
    """The recognition network of one of the embedded packs, alone: for faces whose key points are known."""

    width = 512
    """Of the embeddings."""

    def __init__(self, pack: Pack) -> None:
        self._session = session(pack.path / "rec.onnx")

    def embed(self, photos: Tensor, points: Tensor) -> Tensor:
        """(n, 512) raw embeddings of faces in photos (n, 3, h, w) in [0, 1] with key points (n, 5, 2) in pixels."""
        import torch

        from bench.models.faces.alignment import align

        faces = align(photos, points) * 2 - 1
        (found,) = self._session.run(None, {self._session.get_inputs()[0].name: faces.numpy()})
        return torch.from_numpy(np.asarray(found))


@lru_cache(maxsize=4)
def analyser(pack: Pack) -> FaceAnalyser:
    """A pack's analyser, kept for the next person; changed files have another fingerprint and are another entry."""
    return FaceAnalyser(pack)


def _sides(longest: int) -> list[int]:
    """Detector input sides to try for a picture, largest first."""
    side = min(LARGEST, -(-longest // STRIDE) * STRIDE)
    sides = [side]
    while side // 2 >= SMALLEST:
        side = side // 2 // STRIDE * STRIDE
        sides.append(side)
    return sides
