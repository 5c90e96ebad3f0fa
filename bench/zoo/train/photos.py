"""Prepare the training photos: one table of faces with people, key points, descriptors and splits.

`python -m bench.zoo.train.photos data=<folder>` reads the three parquet files of the folder for training, and the
photos of the evaluation's people, and writes `work/zoo/photos/`. Interrupted, it goes on where it stopped. Who is kept
from training is decided by `bench.zoo.train.splits`.
"""

from __future__ import annotations

import io
import json
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import hydra
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import torch
from omegaconf import DictConfig
from PIL import Image

from bench.core.images import to_tensor
from bench.core.names import natural
from bench.core.types import Array, Pixels
from bench.data.photo_reader import read_image
from bench.models.faces.dlib_resnet import PADDING
from bench.models.faces.dlib_resnet import SIDE as CHIP
from bench.models.faces.insightface import Recogniser, locate_pack
from bench.zoo.train.networks import EMBEDDING
from bench.zoo.train.splits import Described, split_people

SIDE = 128
"""Pixels of a prepared photo."""
SOURCES = {"utkface_adults": "utkface_adults", "celeba": "celeba_train", "lfw": "lfw_train"}
"""Source of photos -> its file, without the ending."""
NAMED = ("celeba", "lfw")
"""Sources that say who is on a photo."""
KINDS = ("train", "held", "tune", "dropped")
"""The splits."""
EVALUATION = ("celeba_eval", "lfw_eval", "celebahq_mini", "vggface2_mini")
"""Files, or folders `<person>/set_*/<photo>`, of the people of the evaluation."""
SPLIT = Path(__file__).parent.parent / "split.json"
"""The people that no training sees, and why."""
SECOND = "facelet-id-b"
"""Finds the evaluation's people beside dlib: it has learnt from names alone, and judges nothing."""
CHUNK = 250
"""Photos that one worker describes at a time."""
BATCH = 50
"""Faces that dlib's network describes at a time."""
FIVE_OF_68 = ((36, 37, 38, 39, 40, 41), (42, 43, 44, 45, 46, 47), (30,), (48,), (54,))
"""Which of dlib's 68 landmarks average to left eye, right eye, nose tip and mouth corners, as seen in the picture."""


@dataclass(frozen=True)
class Faces:
    """The prepared photos.

    Attributes:
        pixels: (n, 128, 128, 3) uint8, RGB; read lazily from disk.
        source: (n,) a name of `SOURCES`.
        person: (n,) name of the person, unique across sources; for UTKFace one per photo.
        split: (n,) "train", "held", "tune" or "dropped".
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
        for file in (*SOURCES.values(), *EVALUATION):
            _describe_all(pool, data, file, out)
    sources = [_chunks(out, source, file) for source, file in SOURCES.items()]
    tests = [_chunks(out, file, file) for file in EVALUATION]
    faces, everybody = _joined(sources), _joined(sources + tests)
    seen = {"dlib": everybody["descriptors"], SECOND: everybody["embeddings"]}
    split = split_people(Described(everybody["source"], everybody["person"], seen), EVALUATION)[: len(faces["person"])]
    for name in ("pixels", "points", "descriptors"):
        np.save(out / f"{name}.npy", faces[name])
    people = {name: faces[name] for name in ("source", "person", "age", "gender")} | {"split": split}
    pq.write_table(pa.table({k: v.tolist() for k, v in people.items()}), out / "people.parquet")
    SPLIT.write_text(json.dumps(_kept_from_training(faces, split), indent=1) + "\n")
    for source in SOURCES:
        here = {s: faces["person"][(faces["source"] == source) & (split == s)] for s in KINDS}
        print(source, ", ".join(f"{s}: {len(p)} photos of {len(set(p))}" for s, p in here.items()))


def _joined(parts: list[dict[str, Array]]) -> dict[str, Array]:
    return {key: np.concatenate([part[key] for part in parts]) for key in parts[0]}


def _kept_from_training(faces: dict[str, Array], split: Array) -> dict[str, dict[str, list[str]]]:
    """Split -> source -> names, of everybody with a name whom no training sees."""
    return {
        kind: {name: sorted(set(faces["person"][(split == kind) & (faces["source"] == name)])) for name in NAMED}
        for kind in KINDS[1:]
    }


def _rows(data: Path, file: str) -> list[dict[str, Any]]:
    """The rows of a parquet file; a folder is read as `<person>/set_*/<photo>`."""
    if not (data / file).is_dir():
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
    """Pixels, key points, dlib's descriptors and the second recogniser's embeddings of some photos."""
    images = [read_image(io.BytesIO(row["image"]["bytes"]), f"row {start + i} of {file}") for i, row in enumerate(rows)]
    pixels = np.stack([np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for image in images])
    located, descriptors = _dlib(images)
    given = [row.get("landmarks") for row in rows]
    points = np.stack([p if g is None else np.reshape(g, (5, 2)) for p, g in zip(located, given, strict=True)])
    return {
        "pixels": pixels,
        "points": points.astype(np.float32),
        "descriptors": descriptors.astype(np.float32),
        "embeddings": _embeddings(pixels, points).astype(np.float32),
        "person": np.asarray([str(row.get("identity", f"{file}-{start + i}")) for i, row in enumerate(rows)]),
        "age": np.asarray([row.get("age", -1) for row in rows]),
        "gender": np.asarray([row.get("gender", "") for row in rows]),
    }


def _dlib(images: list[Image.Image]) -> tuple[Array, Array]:
    """Five key points as fractions, and the descriptor, of every photo's best face; NaN without a face.

    Chips of all photos go through the network together, which is four times as fast as one after the other.
    """
    import dlib

    detector, landmarks, five, network = _networks()
    points, chips = np.full((len(images), 5, 2), np.nan), {}
    for i, image in enumerate(images):
        large = np.asarray(image.resize((256, 256), Image.Resampling.BICUBIC))
        boxes, _, _ = detector.run(large, 0, 0.0)
        if boxes:
            shape = landmarks(large, boxes[0])
            xy = np.asarray([(p.x, p.y) for p in shape.parts()]) / 256
            points[i] = [xy[list(group)].mean(axis=0) for group in FIVE_OF_68]
            chips[i] = dlib.get_face_chip(large, five(large, boxes[0]), CHIP, PADDING)
    descriptors = np.full((len(images), 128), np.nan)
    if chips:
        faces = torch.from_numpy(np.stack(list(chips.values()))).permute(0, 3, 1, 2).float()
        with torch.inference_mode():
            descriptors[list(chips)] = np.concatenate([network(part).numpy() for part in torch.split(faces, BATCH)])
    return points, descriptors


def _embeddings(pixels: Pixels, points: Array) -> Array:
    """The second recogniser's embeddings (n, 512); NaN where the key points are unknown."""
    seen = ~np.isnan(points[:, 0, 0])
    embeddings = np.full((len(points), EMBEDDING), np.nan)
    if seen.any():
        photos, places = to_tensor(list(pixels[seen])), torch.from_numpy(points[seen]).float() * SIDE
        embeddings[seen] = _second().embed(photos, places)
    return embeddings


def _alone() -> None:
    """One core for each worker."""
    torch.set_num_threads(1)


@cache
def _networks() -> tuple[Any, Any, Any, Any]:
    import dlib

    from bench.models.faces.dlib_resnet import DlibNetwork
    from bench.models.faces.dlib_weights import LANDMARKS, RECOGNISER, weights

    return (
        dlib.get_frontal_face_detector(),
        dlib.shape_predictor(str(weights("shape_predictor_68_face_landmarks.dat"))),
        dlib.shape_predictor(str(weights(LANDMARKS))),
        DlibNetwork(weights(RECOGNISER)),
    )


@cache
def _second() -> Recogniser:
    return Recogniser(locate_pack(SECOND))


def _chunks(out: Path, source: str, file: str) -> dict[str, Array]:
    """All photos of a file; people of the evaluation are called after it too, since numbers come twice."""
    files = sorted((out / "chunks").glob(f"{file}-*.npz"), key=lambda path: natural(path.name))
    parts = [np.load(f, allow_pickle=False) for f in files]
    faces = _joined([dict(part) for part in parts])
    before = "" if source in SOURCES else f"{source}/"
    named = [f"{before}{name}" for name in faces["person"]]
    return faces | {"person": np.asarray(named), "source": np.full(len(named), source)}


if __name__ == "__main__":
    main()
