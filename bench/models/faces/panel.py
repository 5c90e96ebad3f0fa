"""The independent judges together, on the faces of one detector.

Nothing here was trained by this project, and no attack, defense, countermeasure or training may import it
(import-linter holds it): what they judge has never met them.
"""

from __future__ import annotations

from functools import cached_property

from bench.core.hashing import hash_of
from bench.core.types import Pixels
from bench.models.faces.face import Face
from bench.models.faces.faceres import FaceRes
from bench.models.faces.independent import IndependentJudge
from bench.models.faces.mobilefacenet import MobileFaceNet
from bench.models.faces.mtcnn import FILES, Mtcnn
from bench.models.weights.files import hashes


class Panel:
    """Finds faces and has every judge describe them. Deterministic; loads its networks on first use."""

    def __init__(self) -> None:
        self.detector = Mtcnn()
        self.judges: tuple[IndependentJudge, ...] = (MobileFaceNet(), FaceRes())

    @property
    def names(self) -> tuple[str, ...]:
        """Of the judges."""
        return tuple(judge.name for judge in self.judges)

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the detector's networks and the judges'.

        Raises:
            BenchError: one of them is missing or damaged.
        """
        detector = hashes({file.name: file for file in FILES}, "Reinstall cloakbench.")
        return hash_of([detector, *(judge.fingerprint for judge in self.judges)])

    def find(self, picture: Pixels) -> dict[str, list[Face]]:
        """Judge -> all faces of one picture, the same for all judges but for the embeddings; best detection first.

        Args:
            picture: (h, w, 3) uint8, RGB.
        """
        faces = self.detector.find(picture)
        height, width = picture.shape[:2]
        size = [width, height, width, height]
        boxes = [tuple((face.box / size).tolist()) for face in faces]
        return {
            judge.name: [
                Face(box, face.score, embedding)
                for box, face, embedding in zip(boxes, faces, judge.embed(picture, faces), strict=True)
            ]
            for judge in self.judges
        }
