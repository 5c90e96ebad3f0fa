"""What the judges can do, on people whom nothing was trained, chosen or tuned on.

python -m bench.zoo.evaluate judges [folder with celeba_eval.parquet, lfw_eval.parquet and utkface_adults.parquet]

For reading alone: whatever is chosen about judges is chosen on the training data (`bench.zoo.make_cohort`).
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from time import process_time
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow.parquet as pq
import torch
from PIL import Image

from bench.core.types import Array, Pixels
from bench.evaluation.cohort import Cohort, cohort, thresholds
from bench.evaluation.thresholds import calibrate
from bench.models.faces.alignment import face_box
from bench.models.faces.dlib_recogniser import DlibRecogniser, find_boxes
from bench.models.faces.face import Face
from bench.models.faces.panel import Panel
from bench.zoo.boxes import FOUND, overlap
from bench.zoo.photo_table import image_of, read_rows
from bench.zoo.verification import true_accept_rate
from metrics.identity import centroid, recognised

EVALUATION = ("lfw_eval", "celeba_eval")
FAR = 0.01
SIDES, SHARES = (512, 1024), (0.1, 0.2, 0.35, 0.6)
"""Sides of pictures in pixels, and of faces in them, forehead to chin, as shares."""
AGES = ((18, 29), (30, 44), (45, 59), (60, 100))
GROUP = 150
"""Photos of each age band and gender."""
MOST_ALIKE = 10
TIMED = 40
"""Photos on which milliseconds are measured."""

Flags = npt.NDArray[np.bool_]
Find = Callable[[Pixels], Mapping[str, list[Face]]]


@dataclass(frozen=True)
class Photos:
    """Photos of one data set and what is said of them.

    Attributes:
        rows: of the table, without the image.
        pixels: of each.
        embeddings: judge -> (n, d) of the largest face, NaN where there is none.
    """

    rows: list[dict[str, Any]]
    pixels: list[Pixels]
    embeddings: dict[str, Array]

    def column(self, name: str) -> Array:
        return np.array([row[name] for row in self.rows])


def evaluate(data: Path) -> None:
    """Print every figure."""
    torch.set_num_threads(1)  # as in a worker, and for times that can be compared
    panel, dlib = Panel(), DlibRecogniser()

    def find(picture: Pixels) -> dict[str, list[Face]]:
        return panel.find(picture) | {"dlib": dlib.find(picture)}

    sets = {name: described(find, read_rows(data / f"{name}.parquet")) for name in EVALUATION}
    for name, photos in sets.items():
        accept_rates(name, photos)
    detection(panel, [row for photos in sets.values() for row in first_of_each(photos)])
    times(panel, dlib, sets["celeba_eval"].pixels[:TIMED])
    false_accepts(sets)
    groups(panel, data)


def described(find: Find, given: Sequence[dict[str, Any]]) -> Photos:
    """Read photos and have their largest faces described."""
    pixels = [np.asarray(image_of(row, "a photo")) for row in given]
    seen = [find(picture) for picture in pixels]
    embeddings = {}
    for judge in seen[0]:
        faces = [max(by_judge[judge], key=lambda face: face.area, default=None) for by_judge in seen]
        width = next(len(face.embedding) for face in faces if face is not None)
        embeddings[judge] = np.array([np.full(width, np.nan) if face is None else face.embedding for face in faces])
    return Photos([{k: v for k, v in row.items() if k != "image"} for row in given], pixels, embeddings)


def accept_rates(name: str, photos: Photos) -> None:
    """Print true-accept rates over all pairs of photos, and how many photos had no face."""
    people = photos.column("identity")
    for judge, embeddings in photos.embeddings.items():
        there = ~np.isnan(embeddings[:, 0])
        at = {far: true_accept_rate(embeddings[there], people[there], far) for far in (0.01, 0.001)}
        rates = ", ".join(f"{rate:.1%} at {far:.1%} false accepts" for far, rate in at.items())
        print(f"{name}, {judge}: true accepts {rates}; no face in {(~there).sum()} of {len(there)} photos")


def first_of_each(photos: Photos) -> list[tuple[Pixels, Array]]:
    """Everybody's first photo, with the key points (5, 2) in pixels."""
    _, first = np.unique(photos.column("identity"), return_index=True)
    return [
        (photos.pixels[i], np.reshape(photos.rows[i]["landmarks"], (5, 2)) * photos.pixels[i].shape[1]) for i in first
    ]


def detection(panel: Panel, faces: Sequence[tuple[Pixels, Array]]) -> None:
    """Print how many faces of several sizes are found in pictures that are otherwise empty, by MTCNN and by HOG."""
    rng = np.random.default_rng(0)
    for side in SIDES:
        for share in SHARES:
            hits = {"MTCNN": 0, "dlib's HOG": 0}
            for photo, points in faces:
                picture, box = pasted(photo, points, side, share, rng)
                hits["MTCNN"] += any(overlap(face.box, box) >= FOUND for face in panel.detector.find(picture))
                boxes = np.array(find_boxes(Image.fromarray(picture))) * side
                hits["dlib's HOG"] += any(overlap(found, box) >= FOUND for found in boxes)
            rates = ", ".join(f"{name} {count / len(faces):.1%}" for name, count in hits.items())
            print(f"faces that fill {share:.0%} of {side} px, {len(faces)} photos: found by {rates}")
    alarms = {"MTCNN": 0, "dlib's HOG": 0}
    empty = [background(side, coarse, rng) for side in SIDES for coarse in (3, 8, 20, 60, side) for _ in range(10)]
    for picture in empty:
        alarms["MTCNN"] += bool(panel.detector.find(picture))
        alarms["dlib's HOG"] += bool(find_boxes(Image.fromarray(picture)))
    print(f"false alarms in {len(empty)} pictures of noise: {alarms}")


def pasted(photo: Pixels, points: Array, side: int, share: float, rng: np.random.Generator) -> tuple[Pixels, Array]:
    """A picture of smooth noise with a photo somewhere in it, and the face's box in it."""
    box = face_box(torch.from_numpy(points)[None]).numpy()[0]
    scale = share * side / (box[2:] - box[:2]).max()
    small = Image.fromarray(photo).resize([round(scale * n) for n in photo.shape[1::-1]], Image.Resampling.BICUBIC)
    picture = background(side, 8, rng)
    left, top = (int(rng.integers(0, side - n + 1)) for n in small.size)
    picture[top : top + small.height, left : left + small.width] = np.asarray(small)
    return picture, box * scale + [left, top, left, top]


def background(side: int, coarse: int, rng: np.random.Generator) -> Pixels:
    """Noise of `coarse` random points a side, smooth between them."""
    points = Image.fromarray(rng.integers(0, 256, (coarse, coarse, 3), dtype=np.uint8))
    return np.array(points.resize((side, side), Image.Resampling.BICUBIC))


def times(panel: Panel, dlib: DlibRecogniser, photos: Sequence[Pixels]) -> None:
    """Print milliseconds a picture of all that is done with it, as photos come and as pictures of SD's size."""
    for side in (128, 512):
        pictures = [np.asarray(Image.fromarray(p).resize((side, side), Image.Resampling.BICUBIC)) for p in photos]
        faces = [panel.detector.find(picture) for picture in pictures]
        spent = {"MTCNN": milliseconds(panel.detector.find, pictures)}
        for judge in panel.judges:
            spent[judge.name] = milliseconds(judge.embed, pictures, faces)
        parts = ", ".join(f"{name} {ms:.1f}" for name, ms in spent.items())
        whole, today = sum(spent.values()), milliseconds(dlib.find, pictures)
        print(f"milliseconds a picture of {side} px: {whole:.1f} ({parts}); dlib, with its detector {today:.1f}")


def milliseconds(call: Callable[..., object], *arguments: Sequence[Any]) -> float:
    """Median time of a core for calls with each of the arguments; the first, which may load a network, comes before."""
    call(*(values[0] for values in arguments))
    spent = []
    for given in zip(*arguments, strict=True):
        start = process_time()
        call(*given)
        spent.append(process_time() - start)
    return 1000 * float(np.median(spent))


def false_accepts(sets: Mapping[str, Photos]) -> None:
    """Print which shares of all others' photos pass for each person of all sets, by each rule."""
    people = np.array([f"{name}/{row['identity']}" for name, photos in sets.items() for row in photos.rows])
    parts = np.concatenate([photos.column("set") for photos in sets.values()])
    embeddings = {
        judge: np.concatenate([photos.embeddings[judge] for photos in sets.values()])
        for judge in next(iter(sets.values())).embeddings
    }
    references = {
        name: {j: centroid(present(e[(people == name) & (parts == "A")])) for j, e in embeddings.items()}
        for name in np.unique(people)
    }
    print(f"false accepts at nominal {FAR:.0%}: {len(references)} people, each against all photos of all others")
    for rule, passes in rules(embeddings, references, people).items():
        wrong, right, alike = [], [], []
        for name in references:
            own, shown = people == name, passes(name)
            wrong.append(shown[~own].mean())
            right.append(shown[own & (parts != "A")].mean())
            alike.append(shown[np.isin(people, nearest(name, references))].mean())
        spread = ", ".join(f"{q:.0%} of people below {np.quantile(wrong, q):.2%}" for q in (0.1, 0.5, 0.9))
        print(
            f"  {rule}: mean {np.mean(wrong):.2%}, {spread}, most {max(wrong):.2%}; own photos {np.mean(right):.1%}; "
            f"of the {MOST_ALIKE} people most alike {np.mean(alike):.1%}, most {max(alike):.0%}"
        )


def rules(
    embeddings: Mapping[str, Array], references: Mapping[str, Mapping[str, Array]], people: Array
) -> dict[str, Callable[[str], Flags]]:
    """Rule -> person -> which of all photos (n,) pass for the person."""
    judges = [judge for judge in embeddings if judge != "dlib"]
    cohorts: dict[str, Cohort] = {judge: cohort(judge) for judge in judges}

    def cosines(name: str) -> dict[str, Array]:
        return {judge: embeddings[judge] @ references[name][judge] for judge in embeddings}

    def own(judge: str) -> Callable[[str], Flags]:
        return lambda name: cosines(name)[judge] >= cohorts[judge].threshold(references[name][judge], FAR)

    def either(name: str) -> Flags:
        limits = thresholds({judge: references[name][judge] for judge in judges}, cohorts, FAR)
        return recognised({judge: cosines(name)[judge] for judge in judges}, limits)

    def pooled(judge: str) -> Callable[[str], Flags]:
        limits = {}
        for data in {name.split("/")[0] for name in references}:
            there = {name: r[judge] for name, r in references.items() if name.startswith(f"{data}/")}
            photos = {name: present(embeddings[judge][people == name]) for name in there}
            limits[data] = calibrate(there, photos, FAR, np.empty((0, 0))).value
        print("  pooled thresholds of", judge, {data: round(value, 3) for data, value in limits.items()})
        return lambda name: cosines(name)[judge] >= limits[name.split("/")[0]]

    return {
        **{f"{judge}, own threshold": own(judge) for judge in judges},
        "either at half the rate": either,
        **{f"{judge}, pooled over the data set": pooled(judge) for judge in embeddings},
    }


def nearest(name: str, references: Mapping[str, Mapping[str, Array]]) -> list[str]:
    """The people most alike a person: those with the largest sum of the judges' cosines."""
    others = [other for other in references if other != name]
    cosines = [sum(float(references[name][j] @ references[other][j]) for j in references[name]) for other in others]
    return [others[i] for i in np.argsort(cosines)[-MOST_ALIKE:]]


def groups(panel: Panel, data: Path) -> None:
    """Print false accepts between people of one age band and gender, each photo once as the reference."""
    file = data / "utkface_adults.parquet"
    ages, genders = (np.array(pq.read_table(file, columns=[name])[name]) for name in ("age", "gender"))
    print(f"false accepts at nominal {FAR:.0%} within groups of {GROUP} people of utkface_adults, a photo each")
    everybody: dict[str, list[Array]] = {name: [] for name in panel.names}
    for (least, most), gender in ((band, gender) for band in AGES for gender in ("man", "woman")):
        members = np.flatnonzero((ages >= least) & (ages <= most) & (genders == gender))
        chosen = np.random.default_rng(0).choice(members, GROUP, replace=False)
        photos = described(panel.find, read_rows(file, chosen.tolist()))
        for name in panel.names:
            everybody[name].append(present(photos.embeddings[name]))
        rates = between({name: faces[-1] for name, faces in everybody.items()})
        print(f"  {gender} of {least} to {most}: {rates}")
    print("  everybody: " + between({name: np.concatenate(faces) for name, faces in everybody.items()}))


def between(embeddings: Mapping[str, Array]) -> str:
    """Each judge's mean share of all others who pass for somebody, and the share of people below which 90 % are."""
    said = []
    for judge, unit in embeddings.items():
        passing = unit @ unit.T >= np.array([[cohort(judge).threshold(face, FAR)] for face in unit])
        np.fill_diagonal(passing, False)
        shares = passing.sum(axis=1) / (len(unit) - 1)
        said.append(f"{judge} {shares.mean():.2%} (90 % of people below {np.quantile(shares, 0.9):.1%})")
    return ", ".join(said)


def present(embeddings: Array) -> Array:
    """Those (m, d) of photos with a face."""
    return np.asarray(embeddings[~np.isnan(embeddings[:, 0])])
