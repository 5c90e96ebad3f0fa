"""dlib's face recogniser: a witness beside the judges, and until protocol 2 the judge.

Faces are found by dlib's HOG detector on the picture enlarged to 256 px, described by dlib's 128-d ResNet (which runs
in torch, see `bench.models.faces.dlib_resnet`), and compared by cosine after subtracting a background mean: raw dlib
descriptors all point roughly the same way (cosine 0.84 between strangers), and without the common part the cosine
separates people (specs of dlib's own threshold do not carry over, see `bench.evaluation.thresholds`).

No defense, attack or countermeasure touches it, but `facelet-id-a`, which some of them use, learned from it: so it is
no independent judge of what they do.
"""

from __future__ import annotations

from functools import cache, cached_property
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from bench.core.hashing import hash_of, sha256_file
from bench.core.types import Array, Pixels
from bench.models.faces.dlib_weights import LANDMARKS, RECOGNISER, weights
from bench.models.faces.face import Box, Face

DETECTION_SIDE = 256
"""HOG needs faces of about 80 px: pictures are enlarged (or shrunk) to this side before the search."""

LENIENT = -0.3
"""HOG score above which something may be a face."""

BACKGROUND = Path(__file__).parents[2] / "zoo" / "judge" / "background.npy"
"""Mean dlib descriptor (128,) of many strangers; how it was made: `bench/zoo/README.md`."""


class DlibRecogniser:
    """Finds and describes faces. Deterministic; loads its networks on first use."""

    name = "dlib"

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the weight files, the background mean and the detection size."""
        files = [weights(name) for name in (LANDMARKS, RECOGNISER)] + [BACKGROUND]
        return hash_of(["judge", DETECTION_SIDE, *map(sha256_file, files)])

    def find(self, picture: Pixels) -> list[Face]:
        """All faces of one picture, best detection first.

        Args:
            picture: (h, w, 3) uint8, RGB.
        """
        nets = self._networks
        large = _enlarge(Image.fromarray(picture))
        boxes, scores = _detect(large)
        if not boxes:
            return []
        described = nets["recogniser"].describe(large, [nets["landmarks"](large, box) for box in boxes])
        return [
            Face(_fractions(box, large), score, self._centre(raw))
            for box, score, raw in zip(boxes, scores, described, strict=True)
        ]

    def has_face(self, picture: Pixels) -> bool:
        """Whether there is any sign of a face: a lower bar and a larger picture than `find` has.

        For telling a wrong photo from a hard one: `find` misses about one real photo in a hundred.
        """
        image = Image.fromarray(picture)
        return any(_detect(_enlarge(image, side), LENIENT)[0] for side in (DETECTION_SIDE, 2 * DETECTION_SIDE))

    def _centre(self, descriptor: Array) -> Array:
        centred = descriptor - self._background
        return np.asarray(centred / np.linalg.norm(centred), dtype=np.float64)

    @cached_property
    def _background(self) -> Array:
        mean: Array = np.load(BACKGROUND, allow_pickle=False)
        return mean

    @cached_property
    def _networks(self) -> dict[str, Any]:
        import dlib

        from bench.models.faces.dlib_resnet import DlibNetwork  # torch is not loaded before a face is described

        return {
            "landmarks": dlib.shape_predictor(str(weights(LANDMARKS))),
            "recogniser": DlibNetwork(weights(RECOGNISER)),
        }


def find_boxes(image: Image.Image, side: int = DETECTION_SIDE) -> list[Box]:
    """The face boxes of a photo of any size, looked for at a longer side of `side` pixels, best detection first."""
    large = _enlarge(image, side)
    return [_fractions(box, large) for box in _detect(large)[0]]


def _detect(large: Pixels, threshold: float = 0.0) -> tuple[list[Any], list[float]]:
    boxes, scores, _ = _detector().run(large, 0, threshold)
    return list(boxes), [float(score) for score in scores]


@cache
def _detector() -> Any:
    import dlib

    return dlib.get_frontal_face_detector()


def _fractions(box: Any, large: Pixels) -> Box:
    height, width = large.shape[:2]
    return (box.left() / width, box.top() / height, box.right() / width, box.bottom() / height)


def _enlarge(image: Image.Image, side: int = DETECTION_SIDE) -> Pixels:
    """Scale so that the longer side is `side` px, bicubic."""
    scale = side / max(image.size)
    size = (round(image.width * scale), round(image.height * scale))
    return np.asarray(image.resize(size, Image.Resampling.BICUBIC))
