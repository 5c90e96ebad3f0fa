"""What the judges see in the invented people's photos; it comes with the package, so that no run looks at them again.

It is taken for the same photos, and while the judges' weights and the code that finds and describes faces are those by
which it was made. Else the judges look. `bench.zoo.make_faces` makes it anew.
"""

from __future__ import annotations

import json
from pathlib import Path

from bench.core.code_version import source_version
from bench.evaluation import detections
from bench.models.faces.panel import Panel
from bench.models.weights.files import ZOO, hashes

SHIPPED = ZOO / "faces"
MADE_BY = "made_by.json"


def shipped(photos: str, panel: Panel) -> Path | None:
    """The folder to load from what the judges see in photos, by the photos' key; None if nothing that holds is there.

    Raises:
        BenchError: it is damaged.
    """
    folder = SHIPPED / photos
    if not folder.is_dir() or json.loads((SHIPPED / MADE_BY).read_text()) != made_by(panel):
        return None
    hashes({detections.FACES: folder / detections.FACES}, "Reinstall cloakbench.")
    return folder


def made_by(panel: Panel) -> dict[str, str]:
    """What it depends on beside the photos."""
    return {"judges": panel.fingerprint, "code": source_version(detections.__name__)}
