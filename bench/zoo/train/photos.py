"""Prepare the training photos: one table of faces with people, key points, descriptors and splits.

`python -m bench.zoo.train.photos data=<folder>` reads the three parquet files of the folder, and its photos of the
people the evaluation uses, and writes `work/zoo/photos/`. Interrupted, it goes on where it stopped.

Splits: `train`; `held` (about a quarter of the people of LFW and every 64th photo of UTKFace: no training sees them);
`dropped` (a person whom dlib takes for one of the evaluation, or a person of LFW who is also in CelebA).
"""

from __future__ import annotations

import io
import json
import os
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from hashlib import sha256
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from omegaconf import DictConfig
from PIL import Image

from bench.types import Array, Pixels
from metrics.identity import centroid

SIDE = 128
"""Pixels of a prepared photo."""
FILES = ("utkface_adults", "celeba_299", "lfw")
EVALUATION = ("celebahq_mini", "vggface2_mini")
HELD_OUT = Path(__file__).parent.parent / "held_out.json"
"""The people of LFW that no training sees."""
CHUNK = 250
SAME, SAME_PHOTO = 0.65, 0.6
"""Cosines above which two people, or a photo and a person, are taken for one: of mean descriptors, after centring. Two
halves of one person's photos are above .72 in 99 of 100 cases, two random people above .62 in one of 1000."""
FIVE_OF_68 = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,))
"""Which of dlib's 68 landmarks average to left eye, right eye, nose tip and mouth corners, as seen in the picture."""


@dataclass(frozen=True)
class Faces:
    """The prepared photos.

    Attributes:
        pixels: (n, 128, 128, 3) uint8, RGB; read lazily from disk.
        source: (n,) "utkface_adults", "celeba_299" or "lfw".
        person: (n,) name of the person, unique across sources; for UTKFace one per photo.
        split: (n,) "train", "held" or "dropped".
        points: (n, 5, 2) left eye, right eye, nose, mouth corners as fractions of the picture; NaN where unknown.
        descriptors: (n, 128) dlib's raw descriptor of the photo; NaN where dlib finds no face.
        age: (n,) years, -1 where unknown.
        gender: (n,) "man", "woman" or "" where unknown.
    """

    pixels: Pixels
    source: Array
    person: Array
    split: Array
    points: Array
    descriptors: Array
    age: Array
    gender: Array

    @classmethod
    def load(cls, folder: Path) -> Faces:
        """Read what `main` wrote."""
        table = pq.read_table(folder / "people.parquet")
        column = {name: np.asarray(table[name].to_pylist()) for name in table.column_names}
        arrays = {name: np.load(folder / f"{name}.npy", mmap_mode="r") for name in ("pixels", "points", "descriptors")}
        return cls(**arrays, **column)


@hydra.main(version_base=None, config_path="conf", config_name="photos")
def main(config: DictConfig) -> None:
    """Describe every photo, decide the splits, write the table."""
    data, out = Path(config.data), Path(config.out)
    out.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(config.workers, initializer=_alone) as pool:
        for file in (*FILES, *EVALUATION):
            _describe_all(pool, data, file, out)
    rows = [_chunks(out, file) for file in FILES]
    faces = {key: np.concatenate([r[key] for r in rows]) for key in rows[0]}
    source = np.repeat(FILES, [len(r["age"]) for r in rows])
    split = _splits(source, faces["person"], faces["descriptors"], [_chunks(out, name) for name in EVALUATION])
    for name in ("pixels", "points", "descriptors"):
        np.save(out / f"{name}.npy", faces[name])
    people = {
        "source": source,
        "person": faces["person"],
        "split": split,
        "age": faces["age"],
        "gender": faces["gender"],
    }
    pq.write_table(pa.table({k: v.tolist() for k, v in people.items()}), out / "people.parquet")
    held = sorted(set(faces["person"][(split == "held") & (source == "lfw")].tolist()))
    HELD_OUT.write_text(json.dumps({"lfw": held}, indent=1) + "\n")
    for name in FILES:
        print(name, {s: int(((source == name) & (split == s)).sum()) for s in ("train", "held", "dropped")})


def _rows(data: Path, file: str) -> list[dict[str, Any]]:
    """The rows of one source; a folder of the evaluation is read as `<person>/set_*/<photo>`."""
    if file in FILES:
        rows: list[dict[str, Any]] = pq.read_table(data / f"{file}.parquet").to_pylist()
        return rows
    photos = sorted((data / file).glob("*/set_*/*"))
    return [{"image": {"bytes": p.read_bytes()}, "identity": p.parents[1].name} for p in photos]


def _describe_all(pool: ProcessPoolExecutor, data: Path, file: str, out: Path) -> None:
    rows = _rows(data, file)
    starts = [s for s in range(0, len(rows), CHUNK) if not (out / "chunks" / f"{file}-{s:05}.npz").exists()]
    (out / "chunks").mkdir(exist_ok=True)
    chunks = (rows[s : s + CHUNK] for s in starts)
    for start, described in zip(starts, pool.map(_describe, [file] * len(starts), starts, chunks), strict=True):
        partial = out / "chunks" / f"partial-{file}.npz"
        np.savez(partial, allow_pickle=False, **described)
        partial.rename(out / "chunks" / f"{file}-{start:05}.npz")
        print(f"{file}: {start + len(described['age'])} of {len(rows)}", flush=True)


def _describe(file: str, start: int, rows: list[dict[str, Any]]) -> dict[str, Array]:
    """Pixels, key points and dlib's descriptor of some photos."""
    described = [_one(row, f"{file}-{start + i}") for i, row in enumerate(rows)]
    return {key: np.stack([d[key] for d in described]) for key in described[0]}


def _one(row: dict[str, Any], name: str) -> dict[str, Array]:
    image = Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB")
    found, descriptor = _dlib(image)
    points: Any = found
    if row.get("landmarks") is not None:
        points = np.asarray(row["landmarks"], dtype=np.float32).reshape((5, 2))
    return {
        "pixels": np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)),
        "points": points,
        "descriptors": descriptor,
        "person": np.asarray(str(row.get("identity", name))),
        "age": np.asarray(row.get("age", -1)),
        "gender": np.asarray(row.get("gender", "")),
    }


def _dlib(image: Image.Image) -> tuple[Array, Array]:
    """Five key points as fractions, and the descriptor, of the best face; NaN without a face."""
    detector, landmarks, five, recogniser = _networks()
    large = np.asarray(image.resize((256, 256), Image.Resampling.BICUBIC))
    boxes, _, _ = detector.run(large, 0, 0.0)
    if not boxes:
        return np.full((5, 2), np.nan, np.float32), np.full(128, np.nan, np.float32)
    shape = landmarks(large, boxes[0])
    xy = np.asarray([(p.x, p.y) for p in shape.parts()], dtype=np.float32) / 256
    points = np.stack([xy[list(group)].mean(axis=0) for group in FIVE_OF_68])
    return points, recogniser.describe(large, [five(large, boxes[0])])[0].astype(np.float32)


def _alone() -> None:
    """One core for each worker, and only while nothing else needs it."""
    os.nice(5)
    torch.set_num_threads(1)


@cache
def _networks() -> tuple[Any, Any, Any, Any]:
    import dlib

    from bench.models.dlib_network import DlibNetwork
    from bench.models.judge import weights

    return (
        dlib.get_frontal_face_detector(),
        dlib.shape_predictor(str(weights("shape_predictor_68_face_landmarks.dat"))),
        dlib.shape_predictor(str(weights("shape_predictor_5_face_landmarks.dat"))),
        DlibNetwork(weights("dlib_face_recognition_resnet_model_v1.dat")),
    )


def _chunks(out: Path, file: str) -> dict[str, Array]:
    parts = [np.load(f, allow_pickle=False) for f in sorted((out / "chunks").glob(f"{file}-*.npz"))]
    return {key: np.concatenate([p[key] for p in parts]) for key in parts[0].files}


def _splits(source: Array, person: Array, descriptors: Array, evaluation: list[dict[str, Array]]) -> Array:
    """(n,) the split of every photo, decided per person."""
    background = np.nanmean(descriptors, axis=0)
    unit = descriptors - background
    unit = unit / np.linalg.norm(unit, axis=1, keepdims=True)
    tested = [
        _mean((e["descriptors"] - background)[e["person"] == name]) for e in evaluation for name in set(e["person"])
    ]
    means = {name: _mean(unit[person == name]) for name in np.unique(person[source != "utkface_adults"])}
    celeba = np.stack([means[name] for name in np.unique(person[source == "celeba_299"])])

    split = np.full(len(source), "train", dtype="<U7")
    for name in np.unique(person[source == "lfw"]):
        if (celeba @ means[name]).max() > SAME:
            split[person == name] = "dropped"
        elif sha256(name.encode()).digest()[0] % 4 == 0:
            split[person == name] = "held"
    singles = np.flatnonzero(source == "utkface_adults")
    split[singles[::64]] = "held"  # a stride and not a slice: the rows are sorted by age

    known = np.stack(tested).T
    for name, mean in means.items():
        if (mean @ known).max() > SAME:
            split[person == name] = "dropped"
    split[singles[np.nan_to_num(unit[singles] @ known).max(axis=1) > SAME_PHOTO]] = "dropped"
    return split


def _mean(descriptors: Array) -> Array:
    """Unit mean of (k, 128) centred descriptors, NaN rows left out; zeros if none is left."""
    found = descriptors[~np.isnan(descriptors[:, 0])]
    return centroid(found) if len(found) else np.zeros(descriptors.shape[1])


if __name__ == "__main__":
    main()
