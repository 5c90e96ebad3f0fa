"""Every defense as it runs by default on the embedded model, at its published budget and at 8/255.

On one invented person; `pytest -m slow` on this file takes half an hour of a core. The fast tests say the same of
shorter runs (tests/defenses/test_contract.py, tests/defenses/test_strength.py, tests/defenses/test_encoders.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor

from bench.core.budget import audit
from bench.core.images import png_bytes, read_png, to_pixels, to_tensor
from bench.core.seeding import generator
from bench.core.types import Budget, Identity, Pixels
from bench.data.synthetic import Synthetic
from bench.models.diffusion.base import DiffusionModel
from bench.models.faces.embedder import FaceEmbedder, aligned, alignment, find_points
from bench.models.faces.insightface import locate_pack
from bench.runner.stages.surrogate import tuned
from defenses import DEFENSES, Context
from tests.support.contexts import no_class
from tests.support.goals import Goal, first_predicted, grey, loss, predicts_the_pattern, purifier_errs, shifted

pytestmark = pytest.mark.slow


@torch.no_grad()
def unlike(base: DiffusionModel, photos: Tensor, clean: Tensor) -> float:
    """How far a recogniser is turned away from the person, where it finds the face in the clean photo."""
    pack = locate_pack("facelet-id-a")
    points = [found for found in find_points(pack, clean) if found is not None]
    assert len(points) == len(clean)
    embed, places = FaceEmbedder(pack), alignment(points)
    return -float(torch.cosine_similarity(embed(aligned(photos, places)), embed(aligned(clean, places))).mean())


CASES: dict[str, tuple[float, Goal]] = {
    "ace": (4, predicts_the_pattern),
    "adapter_shield": (11, unlike),
    "advdm": (16, loss),
    "antidiffusion": (7.65, loss),
    "antidreambooth": (6.4, loss),
    "aspl": (6.4, loss),
    "antipure": (16, purifier_errs),
    "caat": (6.4, loss),
    "disdiff": (6.4, loss),
    "diffusionguard": (8, first_predicted),
    "dladiff": (18, unlike),
    "faceshield": (12, unlike),
    "fsmg": (6.4, loss),
    "idguardian": (8, unlike),
    "idprotector_pgd": (9, unlike),
    "metacloak": (11, loss),
    "mist": (16, loss),
    "photoguard": (7.65, grey),
    "pid": (12.75, shifted),
    "sds": (16, shifted),
    "simac": (8, loss),
}
"""Defense -> its published budget (README), and what it is after."""


@pytest.fixture(scope="module")
def person() -> Identity:
    return Synthetic(limit=1).load(128).identities[0]


def cloaked(name: str, person: Identity, base: DiffusionModel, levels: float, folder: Path) -> list[Pixels]:
    """The saved photos, read again."""

    photos, reference = (to_tensor([p.pixels for p in some]) for some in (person.protect, person.reference))
    context = Context([base], reference, Budget(levels), generator("full"), no_class, partial(tuned, seed=0))
    try:
        made = DEFENSES.create(name, {}).resolved("facelet").protect(photos.clone(), context)
    finally:
        base.restore()
    files = [folder / f"{name}-{index}.png" for index in range(len(photos))]
    for file, picture in zip(files, to_pixels(made), strict=True):
        file.write_bytes(png_bytes(picture))
    return [read_png(file) for file in files]


def reached(goal: Goal, base: DiffusionModel, photos: Sequence[Pixels], clean: Sequence[Pixels]) -> float:
    return goal(base, to_tensor(photos), to_tensor(clean))


def test_every_defense_is_here() -> None:
    here = {name for name in DEFENSES.names() if not DEFENSES.get(name).families}
    assert set(CASES) == here - {"none", "noise", "jpeg", "placebo", "precomputed"}


@pytest.mark.parametrize("name", sorted(CASES))
@pytest.mark.parametrize("at", ["published", "8"])
def test_budget_aim_and_seed(name: str, at: str, person: Identity, base: DiffusionModel, tmp_path: Path) -> None:
    """At 8/255 also that the same seed gives the same bytes."""
    published, goal = CASES[name]
    levels = published if at == "published" else 8.0
    clean = [photo.pixels for photo in person.protect]
    made, noise = (cloaked(one, person, base, levels, tmp_path) for one in (name, "noise"))
    assert 0 < audit(clean, made, Budget(levels), name) <= levels
    values = [reached(goal, base, photos, clean) for photos in (clean, noise, made)]
    print(f"{name} {levels:g}/255: clean {values[0]:.4g}, noise {values[1]:.4g}, cloak {values[2]:.4g}")
    assert values[2] > values[1]
    if at == "8":
        again = cloaked(name, person, base, levels, tmp_path)
        assert all((one == other).all() for one, other in zip(made, again, strict=True))
