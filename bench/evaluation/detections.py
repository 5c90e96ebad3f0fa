"""Stage 5: the judges look at pictures. What they see is stored as facts; every score is computed from them later."""

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
from bench.models.faces.face import Face
from bench.models.faces.panel import Panel

FACES = "faces.parquet"
_FACTS = [("picture", pa.int32()), ("score", pa.float64()), ("box", pa.list_(pa.float64(), 4))]
"""Columns of every face; a column of embeddings for each judge follows."""


@dataclass(frozen=True)
class FaceDetections:
    """What one recogniser saw in n pictures: the faces of each, best detection first."""

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


def key(pictures: str, panel: Panel) -> str:
    """Hash of the pictures' key, the judges' weights and the code."""
    return hash_of([pictures, panel.fingerprint, module_version(__name__)])


def measure(
    folder: Path, pictures: Sequence[Pixels], panel: Panel, progress: Callable[[float], None] | None = None
) -> None:
    """Find and describe every face of every picture; write `faces.parquet`, one row a face."""
    rows = []
    for index, picture in enumerate(pictures):
        views = panel.find(picture)
        for faces in zip(*views.values(), strict=True):
            embeddings = {judge: face.embedding.tolist() for judge, face in zip(views, faces, strict=True)}
            rows.append({"picture": index, "score": faces[0].score, "box": faces[0].box, **embeddings})
        if progress is not None:
            progress((index + 1) / len(pictures))
    schema = pa.schema([*_FACTS, *((judge.name, pa.list_(pa.float32(), judge.width)) for judge in panel.judges)])
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), folder / FACES)


def load(folder: Path, count: int) -> dict[str, FaceDetections]:
    """Read back what each judge saw in `count` pictures."""
    with pq.ParquetFile(folder / FACES) as file:  # a quarter of read_table's time
        table = file.read(use_threads=False)
    facts = table.select([name for name, _ in _FACTS]).to_pylist()
    seen = {}
    for judge in table.column_names[len(_FACTS) :]:
        width = table.schema.field(judge).type.list_size  # where there is no face, the numbers do not tell
        stored = table[judge].combine_chunks().flatten().to_numpy().astype(np.float64).reshape(-1, width)
        embeddings = stored / np.linalg.norm(stored, axis=1, keepdims=True)  # single precision is not quite of length 1
        faces: list[list[Face]] = [[] for _ in range(count)]
        for row, embedding in zip(facts, embeddings, strict=True):
            left, top, right, bottom = row["box"]
            faces[row["picture"]].append(Face((left, top, right, bottom), row["score"], embedding))
        seen[judge] = FaceDetections(tuple(map(tuple, faces)))
    return seen
