"""Write `bench/zoo/judge/background.npy`: the mean dlib descriptor of many strangers, which the judge subtracts.

The strangers are the photos that trainings see, nobody of the evaluation among them; a mean over so many belongs to
nobody. It does not depend on any trained weight, so the judge stays the same when a base is trained anew.

Run `python -m bench.zoo.make_background [folder; default work/zoo/photos]`, after `bench.zoo.train.photos`, and
`bench.zoo.make_manifest` afterwards.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.core.types import Array
from bench.models.faces.dlib_recogniser import BACKGROUND
from bench.zoo.train.photos import Faces


def main(arguments: Sequence[str]) -> int:
    """Save the mean (128,) float64 of the photos with a face, and print what it does to strangers of LFW."""
    if len(arguments) > 1 or any(word.startswith("-") for word in arguments):
        print("usage: python -m bench.zoo.make_background [folder of the prepared photos]")
        return 2
    faces = Faces.load(Path(arguments[0] if arguments else "work/zoo/photos"))
    described = ~np.isnan(faces.descriptors[:, 0])
    seen, held = (faces.descriptors[described & (faces.split == split)].astype(float) for split in ("train", "held"))
    BACKGROUND.parent.mkdir(exist_ok=True)
    mean = seen.mean(axis=0)
    np.save(BACKGROUND, mean)
    print(f"mean of {len(seen)} photos; mean cosine between held-out photos: {between(held):.3f} raw, ", end="")
    print(f"{between(held - mean):.3f} centred")
    return 0


def between(descriptors: Array) -> float:
    """Mean cosine between different rows of (n, 128) descriptors."""
    unit = descriptors / np.linalg.norm(descriptors, axis=1, keepdims=True)
    return float((unit @ unit.T)[np.triu_indices(len(unit), k=1)].mean())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
