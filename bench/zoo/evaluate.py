"""What the embedded family can do, on real photos that no training saw.

python -m bench.zoo.evaluate [folder with lfw.parquet and utkface_adults.parquet; default ../shared/data]

The held-out people are those of `held_out.json`; who they are was decided before any training
(`bench.zoo.train.photos`).
"""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import torch
from PIL import Image
from torch import Tensor

from bench.errors import BenchError
from bench.images import to_pixels, to_tensor
from bench.models.alignment import align, face_box
from bench.models.base import Base, randn
from bench.models.checkpoint import locate
from bench.models.files import ZOO
from bench.models.recogniser import FaceAnalyser, largest, locate_pack
from bench.seeds import generator
from bench.types import Array, Pixels
from bench.zoo.verification import true_accept_rate
from metrics.distribution import kid

BASES = ("facelet-1", "facelet-2")
RECOGNISERS = ("facelet-id-a", "facelet-id-b")
SIDE = 128
GENERATED = 1000
PROMPTS = ("a photo of a man", "a photo of a woman", "a portrait of a person", "a photo of a person")
NOISES = 300
PER_PERSON = 10
"""Photos of a person, at most: one person of LFW has 530, and would decide every figure alone."""
FOUND = 0.4
"""Overlap (intersection over union) with the true box from which a face counts as found."""


@dataclass(frozen=True)
class Held:
    """Held-out photos: (n, 128, 128, 3) uint8, who is on them, and (n, 5, 2) key points in pixels (NaN if unknown)."""

    pixels: list[Pixels]
    people: Array
    points: Array

    @classmethod
    def load(cls, data: Path) -> Held:
        """Read the held-out photos of LFW.

        Raises:
            BenchError: the file is not there.
        """
        file = data / "lfw.parquet"
        if not file.is_file():
            raise BenchError(f"There is no {file}.", "Give the folder that holds it: bench.zoo.evaluate <folder>")
        wanted = set(json.loads((ZOO / "held_out.json").read_text())["lfw"])
        found: dict[str, list[dict[str, Any]]] = {}
        for row in pq.read_table(file).to_pylist():
            if row["identity"] in wanted:
                found.setdefault(row["identity"], []).append(row)
        rows = [row for photos in found.values() for row in photos[:PER_PERSON]]
        images = [Image.open(io.BytesIO(row["image"]["bytes"])).convert("RGB") for row in rows]
        pixels = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for image in images]
        points = np.array([np.reshape(row["landmarks"], (5, 2)) for row in rows]) * SIDE
        return cls(pixels, np.array([row["identity"] for row in rows]), points)


def main(arguments: Sequence[str]) -> int:
    """Print every figure."""
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        print("usage: python -m bench.zoo.evaluate [folder with lfw.parquet]")
        return 2
    held = Held.load(Path(arguments[0] if arguments else "../shared/data"))
    print(f"{len(held.pixels)} held-out photos of {len(set(held.people))} people of LFW")
    for name in RECOGNISERS:
        print(f"{name}: true accepts at 1 % false accepts {accepts(held, name):.1%}")
    recall, alarms, miss = detection(held, RECOGNISERS[0])
    print(f"detector: recall {recall:.1%}, key points off by {miss:.1%} of the eye distance, false alarms {alarms:.1%}")
    for name in BASES:
        base = Base.load(locate(name, "zoo"))
        print(f"{name}: VAE PSNR {psnr(base, held):.2f} dB")
        print(f"{name}: KID {kernel_distance(base, held):.4f}")
    features = embedded(held.pixels)
    print(f"KID between the two halves of the photos themselves {kid(features[::2], features[1::2]):.4f}")
    return 0


def accepts(held: Held, name: str) -> float:
    """True-accept rate of a recogniser on faces aligned by their true key points."""
    recogniser = Recogniser(name)
    return true_accept_rate(recogniser.embed(held.pixels, held.points), held.people)


def detection(held: Held, name: str) -> tuple[float, float, float]:
    """Recall on the photos, false alarms on pictures without a face, and the median error of the key points."""
    analyser, hits, errors = FaceAnalyser(locate_pack(name)), [], []
    truth = face_box(torch.from_numpy(held.points)).numpy()
    for picture, box, points in zip(held.pixels, truth, held.points, strict=True):
        face = largest(analyser.faces(picture))
        hits.append(face is not None and overlap(face.box, box) >= FOUND)
        if face is not None and hits[-1]:
            distance = np.linalg.norm(points[0] - points[1])
            errors.append(np.linalg.norm(face.points - points, axis=1).mean() / distance)
    alarms = [bool(analyser.faces(picture)) for picture in faceless()]
    return float(np.mean(hits)), float(np.mean(alarms)), float(np.median(errors))


def faceless() -> Iterator[Pixels]:
    """Pictures without a face: white noise, and smooth noise of several coarsenesses."""
    rng = np.random.default_rng(0)
    for index in range(NOISES):
        side = (SIDE, 64, 32, 16, 8, 4)[index % 6]
        small = Image.fromarray(rng.integers(0, 256, (side, side, 3), dtype=np.uint8))
        yield np.asarray(small.resize((SIDE, SIDE), Image.Resampling.BICUBIC))


@torch.no_grad()
def psnr(base: Base, held: Held) -> float:
    """Mean PSNR in dB of photos through the VAE and back, at the base's resolution."""
    side = base.latent_shape[-1] * 2 ** (len(base.vae.config.block_out_channels) - 1)
    values = []
    for start in range(0, len(held.pixels), 64):
        photos = resized(to_tensor(held.pixels[start : start + 64]), side)
        error = (base.decode(base.encode(photos)) - photos).square().mean(dim=(1, 2, 3))
        values.append(-10 * torch.log10(error))
    return float(torch.cat(values).mean())


def kernel_distance(base: Base, held: Held) -> float:
    """KID between generated pictures and held-out photos, on features of the family's image encoder."""
    made: list[Pixels] = []
    for number in range(0, GENERATED, 50):
        prompt = PROMPTS[number // 50 % len(PROMPTS)]
        noise = randn((50, *base.latent_shape), generator(0, "evaluate", number), base.device)
        made += to_pixels(resized(base.sample(base.condition([prompt]).expand(50), noise, 20, 3.0), SIDE))
    return kid(embedded(made), embedded(held.pixels))


@torch.no_grad()
def embedded(pictures: Sequence[Pixels]) -> Array:
    """(n, d) unit embeddings by the family's image encoder, times the root of their width."""
    from transformers import CLIPVisionModelWithProjection

    from bench.models.clip import clip_pixels

    folder = ZOO / "adapters" / "facelet-1" / "ip-adapter" / "image_encoder"
    encoder = CLIPVisionModelWithProjection.from_pretrained(folder, dtype=torch.float32).eval()
    chunks = [pictures[i : i + 100] for i in range(0, len(pictures), 100)]
    features = [encoder(clip_pixels(to_tensor(c), encoder.config.image_size)).image_embeds for c in chunks]
    unit = torch.nn.functional.normalize(torch.cat(features), dim=1).double().numpy()
    return np.asarray(unit * unit.shape[1] ** 0.5)


def resized(photos: Tensor, side: int) -> Tensor:
    """Photos (n, 3, h, w) at another size; averaged over pixels when smaller."""
    return torch.nn.functional.interpolate(photos, (side, side), mode="bilinear", antialias=True, align_corners=False)


def overlap(left: Array, right: Array) -> float:
    """Intersection over union of two boxes (left, top, right, bottom)."""
    size = np.clip(np.minimum(left[2:], right[2:]) - np.maximum(left[:2], right[:2]), 0, None)
    shared = size.prod()
    return float(shared / ((left[2:] - left[:2]).prod() + (right[2:] - right[:2]).prod() - shared))


class Recogniser:
    """The recognition network of a shipped pack, on photos whose key points are known."""

    def __init__(self, name: str) -> None:
        import onnxruntime

        file = locate_pack(name).path / "rec.onnx"
        self._session: Any = onnxruntime.InferenceSession(str(file), providers=["CPUExecutionProvider"])

    def embed(self, pictures: Sequence[Pixels], points: Array) -> Array:
        """(n, 512) raw embeddings of the aligned faces."""
        rows = []
        for i in range(0, len(pictures), 100):
            faces = align(to_tensor(pictures[i : i + 100]), torch.from_numpy(points[i : i + 100]).float()) * 2 - 1
            rows.append(self._session.run(None, {self._session.get_inputs()[0].name: faces.numpy()})[0])
        return np.concatenate(rows).astype(np.float64)


if __name__ == "__main__":
    from bench.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
