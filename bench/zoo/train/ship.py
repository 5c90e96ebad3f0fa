"""Put a trained family where the package has its own: `python -m bench.zoo.train.ship work/zoo`.

What was there before is replaced (the history has it), so what is measured on it afterwards is another edition.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.models.weights.files import ZOO
from bench.zoo.train.halved import copy_halved

_ADAPTERS = "adapters/facelet-1"
PLACES = {
    "names/final/base": "facelet-1",
    "facelet-2/final": "facelet-2",
    "recognisers": "recognisers",
    "image_encoder/final/image_encoder": f"{_ADAPTERS}/ip-adapter/image_encoder",
    "ip-adapter/final/ip-adapter.safetensors": f"{_ADAPTERS}/ip-adapter/ip-adapter.safetensors",
    "ip-adapter-faceid/final": f"{_ADAPTERS}/ip-adapter-faceid",
    "photomaker/final": f"{_ADAPTERS}/photomaker",
    "instantid/final": f"{_ADAPTERS}/instantid",
}
"""What the trainings leave -> where the benchmark looks for it."""
NEXT = (
    "python -m bench.zoo.make_background",
    "python -m bench.zoo.make_identities",
    "python -m bench.zoo.make_faces",
    "python -m bench.zoo.make_manifest",
    "python -m bench.zoo.evaluate",
)


def ship(out: Path, zoo: Path = ZOO) -> None:
    """Copy every part to its place.

    Raises:
        BenchError: some are not there; then nothing is copied.
    """
    lacking = [source for source in PLACES if not (out / source).exists()]
    if lacking:
        raise BenchError(
            f"{out} lacks {', '.join(lacking)}.", f"Train the rest: python -m bench.zoo.train.family out={out}"
        )
    for source, place in PLACES.items():
        copy_halved(out / source, zoo / place)


def main(arguments: Sequence[str]) -> int:
    """Ship a family and say what is made from it."""
    if len(arguments) != 1 or arguments[0].startswith("-"):
        print("usage: python -m bench.zoo.train.ship <folder of a trained family>")
        return 2
    ship(Path(arguments[0]))
    print("Shipped. What is made from it comes next:", *NEXT, sep="\n  ")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
