"""How many pictures a second a core scores, and what each score takes: the embedded metrics on one thread.

    python -m benchmarks.scoring             # half a minute

The pictures are shipped photos of invented people, 128 px. A cell's generated pictures are looked at by the judges, by
the witnesses and by what scores quality; its cloaked photos, a fourth as many, are compared with the photos before
(noise of 8/255 here), once for all attacks. Our run of dlib's network is held against dlib itself.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial

import dlib
import numpy as np
import torch
from PIL import Image
from rich.console import Console
from rich.table import Table

from bench.config.schema import MetricSettings
from bench.core.types import Pixels
from bench.data.synthetic import Synthetic
from bench.evaluation.auxiliary import PackWitness
from bench.evaluation.image_metrics import Comparison, Quality, measured
from bench.models.faces.dlib_recogniser import DETECTION_SIDE, DlibRecogniser
from bench.models.faces.dlib_weights import weights
from bench.models.faces.panel import Panel
from benchmarks.limits import Step, timed

COUNT = 16
PICTURES, PHOTOS = 16, 4
"""Of a cell."""


def main() -> None:
    """Print milliseconds and pictures a second of every score, of a cell's, and of the judges, and of dlib."""
    torch.set_num_threads(1)
    pictures = [person.protect[0].pixels for person in Synthetic(limit=COUNT).load(128).identities]
    random = np.random.default_rng(0)
    noisy = [np.clip(p + random.choice([-8, 8], p.shape), 0, 255).astype(np.uint8) for p in pictures]
    witnesses = [PackWitness(name) for name in MetricSettings().recognisers]
    panel, judge, library = Panel(), DlibRecogniser(), Library()

    table = Table("score", title=f"{COUNT} pictures of 128 px, one thread", title_justify="left")
    for column in ("ms", "a second"):
        table.add_column(column, justify="right")
    photo = section(
        table, {n: partial(Comparison((n,), tuple(pictures)).describe, noisy) for n in measured("visibility")}
    )
    picture = section(table, {n: partial(Quality(n).describe, pictures) for n in measured("quality")})
    seen = section(table, {w.name: partial(w.describe, pictures) for w in witnesses})
    section(table, {"judges": lambda: [panel.find(p) for p in pictures]})
    section(table, {"dlib, as a witness": lambda: [judge.find(p) for p in pictures]})
    section(table, {"the same by dlib alone": lambda: [library.find(p) for p in pictures]})
    for name, each in (("besides recognisers", picture), ("besides the judges", picture + seen)):
        line(table, f"a cell's, {name}", (PICTURES * each + PHOTOS * photo) / (PICTURES + PHOTOS))
    Console().print(table)


def section(table: Table, works: Mapping[str, Step]) -> float:
    """A line for each work; seconds a picture of all together."""
    found = {name: timed(work) / COUNT for name, work in works.items()}
    for name, seconds in found.items():
        line(table, name, seconds)
    table.add_section()
    return sum(found.values())


def line(table: Table, name: str, seconds: float) -> None:
    """One line, of seconds a picture."""
    table.add_row(name, f"{seconds * 1000:.2f}", f"{1 / seconds:,.0f}")


class Library:
    """The judge as dlib alone would do it."""

    def __init__(self) -> None:
        self._detector = dlib.get_frontal_face_detector()
        self._landmarks = dlib.shape_predictor(str(weights("shape_predictor_5_face_landmarks.dat")))
        recogniser = weights("dlib_face_recognition_resnet_model_v1.dat")
        self._recogniser = dlib.face_recognition_model_v1(str(recogniser))

    def find(self, picture: Pixels) -> list[object]:
        """The descriptor of every face."""
        size = (DETECTION_SIDE, DETECTION_SIDE)
        large = np.asarray(Image.fromarray(picture).resize(size, Image.Resampling.BICUBIC))
        found = (self._landmarks(large, box) for box in self._detector(large, 0))
        return [self._recogniser.compute_face_descriptor(large, points) for points in found]


if __name__ == "__main__":
    main()
