"""What judges and embedded witnesses see in the invented people's photos; no run looks at them again.

It comes with the package, and is taken for the same photos, while the weights and the code that find and describe faces
are those by which it was made. Else they look. `bench.zoo.make_faces` makes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from safetensors.numpy import load_file

from bench.core.code_version import source_version
from bench.core.types import Array
from bench.evaluation import auxiliary, detections
from bench.evaluation.auxiliary import Witness
from bench.models.faces.panel import Panel
from bench.models.weights.files import ZOO, hashes

SHIPPED = ZOO / "faces"
MADE_BY = "made_by.json"
JUDGES = "judges"
"""Their name in `MADE_BY`, beside those of the witnesses."""


def shipped(photos: str, panel: Panel) -> Path | None:
    """The folder to load from what the judges see in photos, by the photos' key; None if nothing that holds is there.

    Raises:
        BenchError: it is damaged.
    """
    folder = SHIPPED / photos
    return folder if _holds(folder / detections.FACES, JUDGES, panel) else None


def shipped_description(photos: str, looking: Witness) -> dict[str, Array] | None:
    """What a witness sees in photos (`Witness.describe`), by the photos' key; None if nothing that holds is there.

    Raises:
        BenchError: it is damaged.
    """
    file = SHIPPED / photos / f"{looking.name}.safetensors"
    return dict(load_file(file)) if _holds(file, looking.name, looking) else None


def made_by(looking: Panel | Witness) -> dict[str, str]:
    """What it depends on beside the photos."""
    code = detections if isinstance(looking, Panel) else auxiliary
    return {"weights": looking.fingerprint, "code": source_version(code.__name__)}


def _holds(file: Path, name: str, looking: Panel | Witness) -> bool:
    """Whether there is something for these photos, and what it depends on is as it was."""
    if not file.parent.is_dir():
        return False
    stated = json.loads((SHIPPED / MADE_BY).read_text()).get(name)
    if stated is None or stated != made_by(looking):
        return False
    hashes({file.name: file}, "Reinstall cloakbench.")
    return True
