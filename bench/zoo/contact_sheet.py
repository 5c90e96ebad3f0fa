"""What the attacks of the embedded family make of a person, to look at.

    python -m bench.zoo.contact_sheet <picture to write> [folder of people, as data.root]

A row an attack: the person's first photo and four pictures. The last row is the base, which was told nothing. Without a
folder the person is an invented one; of a folder it is the first. Attacks without weights are named and left out.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from omegaconf import OmegaConf
from PIL import Image
from torch import Tensor

from attacks import ATTACKS, FitContext
from bench.data.folder import Folder
from bench.data.synthetic import Synthetic
from bench.errors import BenchError, FitFailed
from bench.images import to_pixels, to_tensor
from bench.models.base import Base, randn
from bench.models.checkpoint import locate
from bench.models.loading import load_base
from bench.seeds import generator

CONF = Path(__file__).parents[2] / "conf"
MODEL, SUITE = CONF / "model" / "facelet-1.yaml", CONF / "suite" / "validity.yaml"
PICTURES = 4
PROMPTS = ("a photo of {subject}", "a dslr portrait of {subject}")


def main(arguments: Sequence[str]) -> int:
    """Write the sheet."""
    if not 1 <= len(arguments) <= 2 or arguments[0].startswith("-"):
        print("usage: python -m bench.zoo.contact_sheet <picture to write> [folder of people]")
        return 2
    model = OmegaConf.load(MODEL)
    base = load_base(locate(model.name, model.source), precision=model.precision)
    source = Folder(arguments[1]) if len(arguments) > 1 else Synthetic(limit=1)
    photos = to_tensor([photo.pixels for photo in source.load(base.side).identities[0].protect])
    rows = []
    for attack in [*OmegaConf.load(SUITE).attacks, "none"]:
        settings: dict[str, Any] = {"name": attack} if isinstance(attack, str) else dict(attack)
        try:
            pictures = attacked(base, settings, photos, model.steps, model.guidance)
        except (BenchError, FitFailed) as error:
            print(f"left out: {settings}: {error}")
            continue
        rows.append(torch.cat([photos[0], *pictures], dim=-1))
        print(f"row {len(rows)}: {', '.join(map(str, settings.values()))}", flush=True)
    Image.fromarray(to_pixels(torch.cat(rows, dim=-2)[None])[0]).save(arguments[0])
    return 0


def attacked(base: Base, settings: dict[str, Any], photos: Tensor, steps: int, guidance: float) -> Tensor:
    """(4, 3, side, side) in [0, 1]: pictures of the person on the photos by an attack of some name and settings.

    Raises:
        BenchError: there are no weights for it.
        FitFailed: the attack cannot use the photos.
    """
    more = {key: value for key, value in settings.items() if key != "name"}
    attack = ATTACKS.create(settings["name"], more).resolved("facelet")
    templates = [PROMPTS[i % len(PROMPTS)] for i in range(PICTURES)]
    noise = torch.stack([randn(base.latent_shape, generator("sheet", i), base.device) for i in range(PICTURES)])
    attack.prepare(base)
    try:
        artifact = attack.fit(photos, FitContext(generator(0), no_class_pictures))
        return attack.generate(artifact, templates, noise, steps, guidance)
    finally:
        attack.reset()


def no_class_pictures(_base: Base, _count: int) -> Tensor:
    """The embedded presets want none."""
    raise BenchError("This attack wants class pictures, which the sheet does not make.", "Use an embedded preset.")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
