"""Stage 5: the judge looks at pictures. What it sees is stored as facts; every score is computed from them later."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from bench.core.code_version import module_version
from bench.core.hashing import hash_of
from bench.core.types import Array, Pixels
from bench.models.faces.judges import Face, Judge

FACES = "faces.parquet"
EMBEDDING_SIZE = 128


@dataclass(frozen=True)
class FaceDetections:
    """What the judge saw in n pictures: the faces of each, best detection first."""

    faces: tuple[tuple[Face, ...], ...]

    def similarity(self, reference: Array) -> Array:
        """(n,) largest cosine of any face to a reference (d,); NaN where there is no face.

        The largest, not the largest face's: one recognisable face in a crowd is a leak.
        """
        cosines = [[float(face.embedding @ reference) for face in faces] for faces in self.faces]
        return np.array([max(values, default=np.nan) for values in cosines])

    def embeddings(self) -> Array:
        """(m, d) of the largest face of every picture that has one."""
        return np.array([max(faces, key=lambda face: face.area).embedding for faces in self.faces if faces])


def key(pictures: str, judge: Judge) -> str:
    """Hash of the pictures' key, the judge's weights and the code."""
    return hash_of([pictures, judge.fingerprint, module_version(__name__)])


def measure(
    folder: Path, pictures: Sequence[Pixels], judge: Judge, progress: Callable[[float], None] | None = None
) -> None:
    """Find and describe every face of every picture; write `faces.parquet`, one row a face."""
    rows = []
    for index, picture in enumerate(pictures):
        for face in judge.find(picture):
            rows.append({"picture": index, "score": face.score, "box": face.box, "embedding": face.embedding.tolist()})
        if progress is not None:
            progress((index + 1) / len(pictures))
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), folder / FACES)


def load(folder: Path, count: int) -> FaceDetections:
    """Read back what was seen in `count` pictures."""
    faces: list[list[Face]] = [[] for _ in range(count)]
    with pq.ParquetFile(folder / FACES) as file:  # a quarter of read_table's time
        rows = file.read(use_threads=False).to_pylist()
    for row in rows:
        left, top, right, bottom = row["box"]
        faces[row["picture"]].append(Face((left, top, right, bottom), row["score"], np.array(row["embedding"])))
    return FaceDetections(tuple(tuple(found) for found in faces))


_SCHEMA = pa.schema(
    [
        ("picture", pa.int32()),
        ("score", pa.float64()),
        ("box", pa.list_(pa.float64(), 4)),
        ("embedding", pa.list_(pa.float64(), EMBEDDING_SIZE)),
    ]
)
