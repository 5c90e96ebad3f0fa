"""Write `bench/zoo/faces/`: what the judges and the embedded witnesses see in the photos of the invented people.

Run `python -m bench.zoo.make_faces` after any change of these people, of the recognisers or of the code by which they
look (a test says so), and `bench.zoo.make_manifest` afterwards. Until then every run looks for itself.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from functools import partial

from safetensors.numpy import save_file

from bench.core.types import Pixels
from bench.data.synthetic import SIDE, Synthetic
from bench.evaluation import detections
from bench.evaluation.auxiliary import PackWitness, Witness, seen
from bench.evaluation.detections import FaceDetections
from bench.evaluation.recognition import Recognition
from bench.evaluation.shipped_faces import JUDGES, MADE_BY, SHIPPED, made_by
from bench.models.faces.panel import Panel

WITNESSES = ("facelet-id-a", "facelet-id-b")
"""Those that come with the package."""


def main() -> None:
    """Look at everybody's photos, as a run does, and keep what is seen."""
    shutil.rmtree(SHIPPED, ignore_errors=True)
    people = Synthetic(limit=0).load(SIDE)
    looking: dict[str, Panel | Witness] = {JUDGES: Panel(), **{name: PackWitness(name) for name in WITNESSES}}
    for who in looking.values():
        recognition = Recognition(partial(look, who), people)
        for person in people.identities:
            recognition.photos(person)
    made = {name: made_by(who) for name, who in looking.items()}
    (SHIPPED / MADE_BY).write_text(json.dumps(made, indent=2) + "\n")
    print(f"{len(people.identities)} people, {', '.join(looking)}")


def look(looking: Panel | Witness, key: str, pictures: Sequence[Pixels]) -> FaceDetections:
    """What is seen in a person's photos is kept, and returned; of the judges, by the first one."""
    folder = SHIPPED / key
    folder.mkdir(parents=True, exist_ok=True)
    if isinstance(looking, Panel):
        detections.measure(folder, pictures, looking)
        return detections.load(folder, len(pictures))[looking.names[0]]
    described = looking.describe(pictures)
    save_file(described, folder / f"{looking.name}.safetensors")
    return seen(described, len(pictures))


if __name__ == "__main__":
    main()
