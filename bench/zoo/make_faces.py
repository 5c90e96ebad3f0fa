"""Write `bench/zoo/faces/`: what the judges see in the photos of the invented people.

Run `python -m bench.zoo.make_faces` after any change of these people, of the judges or of the code by which they look
(a test says so), and `bench.zoo.make_manifest` afterwards. Until then every run looks for itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial

from bench.core.types import Pixels
from bench.data.synthetic import SIDE, Synthetic
from bench.evaluation import detections
from bench.evaluation.detections import FaceDetections
from bench.evaluation.recognition import Recognition
from bench.evaluation.shipped_faces import MADE_BY, SHIPPED, made_by
from bench.models.faces.panel import Panel


def main() -> None:
    """Look at everybody's photos, as a run does, and keep what is seen."""
    shutil.rmtree(SHIPPED, ignore_errors=True)
    panel, people = Panel(), Synthetic(limit=0).load(SIDE)
    recognition = Recognition(partial(look, panel), people)
    for person in people.identities:
        recognition.photos(person)
    (SHIPPED / MADE_BY).write_text(json.dumps(made_by(panel), indent=2) + "\n")
    print(f"{len(people.identities)} people")


def look(panel: Panel, key: str, pictures: Sequence[Pixels]) -> FaceDetections:
    """What all judges see in a person's photos is kept; what the first one sees is returned."""
    folder = SHIPPED / key
    folder.mkdir(parents=True)
    detections.measure(folder, pictures, panel)
    return detections.load(folder, len(pictures))[panel.names[0]]


if __name__ == "__main__":
    main()
