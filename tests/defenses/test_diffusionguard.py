"""DiffusionGuard's masks: parts of the face of every size, and nothing outside it changes."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from bench.core.seeding import generator
from bench.models.diffusion.base import DiffusionModel
from bench.models.faces.alignment import face_box
from defenses import DEFENSES
from defenses.diffusionguard import DIRECTIONS, DiffusionGuard, shrinking_masks
from defenses.encoders import Faces
from tests.support import tiny
from tests.support.contexts import defend_context

POINTS = torch.tensor(tiny.POINTS)
LARGE = torch.zeros(2, 3, 128, 128)
FACES = Faces([1], [POINTS * 4])
"""Of two photos of 128 px the second has a face."""


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("guard")


@pytest.fixture(scope="module")
def base(root: Path) -> DiffusionModel:
    return tiny.tiny_base(root / "base")


@pytest.fixture(scope="module")
def pack(root: Path) -> str:
    return str(tiny.pack(root / "pack"))


@pytest.fixture(scope="module")
def photos() -> Tensor:
    return tiny.person(3)


def protect(base: DiffusionModel, photos: Tensor, **settings: Any) -> Tensor:
    made = DEFENSES.create("diffusionguard", {"steps": 3, "step": 3.0, "mask": "contour_shrink"} | settings).resolved(
        "facelet"
    )
    return made.protect(photos.clone(), defend_context(base, photos=photos))


def mask_of(monkeypatch: pytest.MonkeyPatch, share: float, radii: Tensor) -> Tensor:
    """(128, 128) of the second photo, for one draw of the share and of the 16 directions."""
    drawn = iter([torch.tensor([[share]]), radii[None]])
    monkeypatch.setattr("torch.rand", lambda *shape, generator: next(drawn))
    mask = shrinking_masks(FACES, LARGE, generator(0))()
    assert torch.equal(mask[0], torch.ones(1, 128, 128))
    return mask[1, 0]


def test_a_mask_that_is_not_shrunk_is_the_face(monkeypatch: pytest.MonkeyPatch) -> None:
    mask = mask_of(monkeypatch, 0.0, torch.ones(DIRECTIONS))
    rows, columns = mask.nonzero().T
    found = torch.stack([columns.min(), rows.min(), columns.max(), rows.max()]).float()
    assert torch.allclose(found, face_box(POINTS[None] * 4)[0], atol=1.5)
    ellipse = torch.pi / 4 * (found[2] - found[0] + 1) * (found[3] - found[1] + 1)
    assert float(mask.sum()) == pytest.approx(float(ellipse), rel=0.03)
    assert all(bool(mask[int(y), int(x)]) for x, y in POINTS * 4)


def test_a_mask_is_shrunk_where_it_was_drawn(monkeypatch: pytest.MonkeyPatch) -> None:
    """By half all around it has a quarter of the area; in one direction, it loses that side alone."""
    whole = mask_of(monkeypatch, 0.0, torch.ones(DIRECTIONS))
    half = mask_of(monkeypatch, 0.5, torch.ones(DIRECTIONS))
    assert float(half.sum() / whole.sum()) == pytest.approx(0.25, abs=0.02)
    right = mask_of(monkeypatch, 1.0, torch.eye(DIRECTIONS)[0] * 0.8)
    lost = (whole - right).nonzero()
    assert float((whole - right).min()) == 0
    assert 0.02 < len(lost) / float(whole.sum()) < 0.15
    assert int(lost[:, 1].min()) > int(POINTS[2, 0] * 4) - 2
    middle = float(face_box(POINTS[None] * 4)[0, 1::2].mean())  # and as much above as below
    assert float(lost[:, 0].min() + lost[:, 0].max()) / 2 == pytest.approx(middle, abs=2)


def test_masks_of_every_size_occur() -> None:
    draw = shrinking_masks(FACES, LARGE, generator(0))
    areas = torch.stack([draw()[1].sum() for _ in range(60)])
    assert float(areas.min()) < 0.35 * float(areas.max())
    assert len(set(areas.tolist())) > 50
    nobody = shrinking_masks(Faces([], []), LARGE, generator(0))
    assert torch.equal(nobody(), torch.ones(2, 1, 128, 128))


def test_nothing_outside_the_face_changes(
    base: DiffusionModel, pack: str, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small face off the centre; a photo without one changes all over."""
    points = POINTS * 0.4 + torch.tensor([2.0, 15.0])
    monkeypatch.setattr(Faces, "found", classmethod(lambda cls, clean, pack: cls([1], [points])))
    moved = (protect(base, photos, detector=pack) - photos).abs().amax(dim=1) > 0
    left, top, right, bottom = face_box(points[None])[0].tolist()
    rows, columns = moved[1].nonzero().T
    assert left - 1 < int(columns.min())
    assert int(columns.max()) < right + 1
    assert top - 1 < int(rows.min())
    assert int(rows.max()) < bottom + 1
    assert len(rows) > 20
    assert float(moved[0].float().mean()) > 0.9


def test_the_whole_photo_needs_no_detector(base: DiffusionModel, pack: str, photos: Tensor) -> None:
    whole = protect(base, photos, mask="global")
    assert float(((whole - photos).abs() > 0).float().mean()) > 0.9
    assert not torch.equal(whole, protect(base, photos, detector=pack))
    made = DiffusionGuard().resolved("sd")
    assert made.detector is None
    assert made.files() == {}
    assert made.steps == 800
    assert set(DiffusionGuard(mask="contour_shrink", detector=pack).resolved("sd").files()) == {"detector"}
