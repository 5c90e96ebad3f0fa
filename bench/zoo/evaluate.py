"""What the embedded family can do, on real photos that no training saw.

python -m bench.zoo.evaluate [folder of the data; default ../shared/data] [folder of a family in training]
python -m bench.zoo.evaluate judges [folder of the data]    # the independent judges, see `bench.zoo.evaluate_judges`

The held-out people are those whom the trainings of both editions left out (`held_out.json` and `split.json`), so that
their figures can be compared; who they are was decided before any training (`bench.zoo.train.splits`). A second folder,
`out` of `bench.zoo.train.family`, is measured after the family that is shipped, part by part as far as it is finished.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from bench.config.compute import Computing
from bench.core.images import to_pixels, to_tensor
from bench.core.paths import expanded
from bench.core.seeding import generator
from bench.core.types import Array, Pixels
from bench.models.adapters.clip import load_image_encoder, see
from bench.models.diffusion.base import DiffusionModel
from bench.models.diffusion.devices import randn
from bench.models.diffusion.loading import load_base
from bench.models.faces.alignment import face_box
from bench.models.faces.insightface import FaceAnalyser, Recogniser, largest, locate_pack
from bench.models.weights.checkpoint import locate
from bench.models.weights.files import ZOO
from bench.zoo import evaluate_judges
from bench.zoo.boxes import FOUND, overlap
from bench.zoo.photo_table import image_of, read_rows
from bench.zoo.reconstruction import Judged, print_kept, through
from bench.zoo.verification import at_most, true_accept_rate
from metrics.distribution import kid

HALF = Computing("bf16")
ENCODER = ZOO / "adapters" / "facelet-1" / "ip-adapter" / "image_encoder"
SIDE = 128
GENERATED = 1000
PROMPTS = ("a photo of a man", "a photo of a woman", "a portrait of a person", "a photo of a person")
NOISES = 300
BATCH = 100
PER_PERSON = 10


@dataclass(frozen=True)
class Family:
    """Folders of a family's parts, by their names; those that are not there yet are left out."""

    recognisers: dict[str, Path]
    autoencoders: dict[str, Path]
    bases: dict[str, Path]

    @classmethod
    def shipped(cls) -> Family:
        bases = {name: ZOO / name for name in ("facelet-1", "facelet-2")}
        return cls._there(ZOO / "recognisers", ZOO / "facelet-1" / "vae", bases)

    @classmethod
    def trained(cls, out: Path) -> Family:
        """What `bench.zoo.train.family` has finished in a folder."""
        bases = {"facelet-1": out / "names" / "final" / "base", "facelet-2": out / "facelet-2" / "final"}
        return cls._there(out / "recognisers", out / "vae" / "final" / "vae", bases)

    @classmethod
    def _there(cls, recognisers: Path, autoencoder: Path, bases: dict[str, Path]) -> Family:
        packs = {name: recognisers / name for name in ("facelet-id-a", "facelet-id-b")}
        every = (packs, {"autoencoder": autoencoder}, bases)
        return cls(*({name: path for name, path in parts.items() if path.is_dir()} for parts in every))


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
        file = data / "lfw_train.parquet"
        first = json.loads((ZOO / "held_out.json").read_text())["lfw"]
        second = json.loads((ZOO / "split.json").read_text())["held"]["lfw"]
        held = {*first} & {*second}
        known = [row for row in read_rows(file) if row["identity"] in held]
        rows = [known[i] for i in at_most(np.array([row["identity"] for row in known]), PER_PERSON)]
        images = [image_of(row, f"{file}, {row['identity']}") for row in rows]
        pixels = [np.asarray(image.resize((SIDE, SIDE), Image.Resampling.LANCZOS)) for image in images]
        points = np.array([np.reshape(row["landmarks"], (5, 2)) for row in rows]) * SIDE
        return cls(pixels, np.array([row["identity"] for row in rows]), points)


def main(arguments: Sequence[str]) -> int:
    """Print every figure."""
    if len(arguments) > 2 or any(word.startswith("-") for word in arguments):
        print("usage: python -m bench.zoo.evaluate [folder of the data] [folder of a family in training]")
        print("       python -m bench.zoo.evaluate judges [folder of the data]")
        return 2
    if arguments[:1] == ["judges"]:
        evaluate_judges.evaluate(expanded(arguments[1] if len(arguments) > 1 else "../shared/data"))
        return 0
    data = expanded(arguments[0] if arguments else "../shared/data")
    held, file = Held.load(data), data / "celeba_eval.parquet"
    evaluation = Judged([np.asarray(image_of(row, str(file))) for row in read_rows(file)])
    print(f"{len(held.pixels)} held-out photos of {len(set(held.people))} people of LFW")
    print(f"{len(evaluation)} photos of people of the evaluation, of CelebA, with a face")
    families = {"shipped": Family.shipped()}
    if len(arguments) > 1:
        families[arguments[1]] = Family.trained(Path(arguments[1]))
    for name, family in families.items():
        print(f"\n{name}:")
        measure(family, held, evaluation)
    return 0


def measure(family: Family, held: Held, evaluation: Judged) -> None:
    """Print the figures of one family."""
    for name, pack in family.recognisers.items():
        print(f"{name}: true accepts at 1 % false accepts {accepts(held, pack):.1%}")
    for name, pack in list(family.recognisers.items())[:1]:  # the detector is the same in all
        recall, alarms, miss = detection(held, pack)
        print(
            f"detector of {name}: recall {recall:.1%}, key points off by {miss:.1%} of the eye distance, "
            f"false alarms {alarms:.1%}"
        )
    for name, folder in family.autoencoders.items():
        print_kept(name, through(folder), held.pixels, evaluation)
    bases = {name: load_base(locate(name, str(path)), computing=HALF) for name, path in family.bases.items()}
    features = embedded(held.pixels)
    for name, base in bases.items():
        print(f"{name}: KID {kid(embedded(generated(base)), features):.4f}")
    print(f"KID between the two halves of the photos themselves {kid(features[::2], features[1::2]):.4f}")


def accepts(held: Held, pack: Path) -> float:
    """True-accept rate of a recogniser on faces aligned by their true key points."""
    recogniser, rows = Recogniser(locate_pack(str(pack))), range(0, len(held.pixels), BATCH)
    points = torch.from_numpy(held.points).float()
    embedded = [recogniser.embed(to_tensor(held.pixels[i : i + BATCH]), points[i : i + BATCH]) for i in rows]
    return true_accept_rate(torch.cat(embedded).double().numpy(), held.people)


def detection(held: Held, pack: Path) -> tuple[float, float, float]:
    """Recall on the photos, false alarms on pictures without a face, and the median error of the key points."""
    analyser, hits, errors = FaceAnalyser(locate_pack(str(pack))), [], []
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


def generated(base: DiffusionModel) -> list[Pixels]:
    """`GENERATED` pictures (128, 128, 3) uint8 of a base, as many of each prompt."""
    made: list[Pixels] = []
    for number in range(0, GENERATED, 50):
        prompt = PROMPTS[number // 50 % len(PROMPTS)]
        noise = randn((50, *base.latent_shape), generator(0, "evaluate", number), base.device)
        made += to_pixels(resized(base.sample(base.condition([prompt]).expand(50), noise, 20, 3.0), SIDE))
    return made


def embedded(pictures: Sequence[Pixels]) -> Array:
    """(n, d) unit embeddings by the shipped image encoder, whoever made the pictures, times the root of their width."""
    encoder = load_image_encoder(ENCODER)
    features = [see(encoder, to_tensor(pictures[i : i + BATCH])) for i in range(0, len(pictures), BATCH)]
    unit = torch.nn.functional.normalize(torch.cat(features), dim=1).double().numpy()
    return np.asarray(unit * unit.shape[1] ** 0.5)


def resized(photos: Tensor, side: int) -> Tensor:
    """Photos (n, 3, h, w) at another size; averaged over pixels when smaller."""
    return torch.nn.functional.interpolate(photos, (side, side), mode="bilinear", antialias=True, align_corners=False)


if __name__ == "__main__":
    from bench.core.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
