"""What the independent judges have in common: a network that nobody here trained, and cosines without the common part.

Embeddings of all faces point roughly the same way; without the mean of many strangers the cosine separates people
better (`bench.zoo.make_cohort` computes it from training photos, and its figures are in the model card).
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from bench.core.hashing import hash_of
from bench.core.types import Array, Pixels
from bench.models.faces.mtcnn import Detection
from bench.models.faces.sessions import session
from bench.models.weights.files import ZOO, hashes

FOLDER = ZOO / "judges"


class IndependentJudge(ABC):
    """Describes detected faces. Deterministic; loads its network on first use."""

    name: ClassVar[str]
    width: ClassVar[int]
    """Of the embeddings."""

    @abstractmethod
    def crop(self, picture: Pixels, face: Detection) -> Array:
        """The network's input (3, side, side) float32 for a face of a picture (h, w, 3) uint8, RGB."""

    def raw(self, picture: Pixels, faces: Sequence[Detection]) -> Array:
        """(n, width) what the network says of n faces of a picture (h, w, 3) uint8, RGB."""
        if not faces:
            return np.empty((0, self.width))
        (embeddings,) = self._network.run(None, {"pictures": np.stack([self.crop(picture, face) for face in faces])})
        return np.asarray(embeddings, np.float64)

    def embed(self, picture: Pixels, faces: Sequence[Detection]) -> Array:
        """(n, width) centred, of unit length: their products are the cosines that count."""
        centred = self.raw(picture, faces) - self._mean
        return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))

    @cached_property
    def fingerprint(self) -> str:
        """Hash of the network and the mean.

        Raises:
            BenchError: one of them is missing or damaged.
        """
        files = {"network": self.network_file, "mean": self.mean_file}
        return hash_of([self.name, hashes(files, "Reinstall cloakbench.")])

    @property
    def network_file(self) -> Path:
        return FOLDER / f"{self.name}.onnx"

    @property
    def mean_file(self) -> Path:
        return FOLDER / f"{self.name}-mean.npy"

    @cached_property
    def _network(self) -> Any:
        return session(self.network_file)

    @cached_property
    def _mean(self) -> Array:
        mean: Array = np.load(self.mean_file, allow_pickle=False)
        return mean
