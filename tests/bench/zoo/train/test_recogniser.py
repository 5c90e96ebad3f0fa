"""The recognisers' training: what they learn from names, and from photos of people of whom there is but one."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from bench.zoo.train.identity import SCALE, instances
from bench.zoo.train.photos import Faces
from bench.zoo.train.recogniser import SINGLES, Recogniser
from tests.support.training_faces import faces


def test_instances_of_one_photo_are_told_from_all_others() -> None:
    axes = torch.eye(5, 8)
    first, others = axes[:3], axes[3:]
    alike = instances(2 * first, first, others)  # lengths do not count
    assert alike.item() == pytest.approx(math.log(1 + 4 * math.exp(-SCALE)), abs=1e-6)
    assert instances(first, first[[1, 2, 0]], others).item() == pytest.approx(
        SCALE + math.log(1 + 4 * math.exp(-SCALE))
    )
    assert instances(first, first, torch.cat([others, first])) > alike + 0.5  # an equal stranger


def part(monkeypatch: pytest.MonkeyPatch, *, singles: float, teacher: bool = False) -> Recogniser:
    """Photos of ada, bob, of six people of whom there is one, and of two who are held out."""
    some = faces(12)
    person = np.array(["ada", "bob"] * 2 + [f"utk{i}" for i in range(6)] + ["eve", "eve"])
    known = replace(
        some,
        person=person,
        source=np.array(["lfw"] * 4 + ["utkface_adults"] * 6 + ["lfw"] * 2),
        split=np.array(["train"] * 10 + ["held"] * 2),
        pixels=np.random.default_rng(0).integers(0, 256, some.pixels.shape, dtype=np.uint8),
    )
    monkeypatch.setattr(Faces, "load", lambda _: known)
    torch.manual_seed(0)
    return Recogniser("fused", Path(), teacher, singles=singles)


def test_singles_fill_their_share_of_the_batch_twice_and_change_the_loss(monkeypatch: pytest.MonkeyPatch) -> None:
    one = part(monkeypatch, singles=0.5)
    monkeypatch.setattr(one, "_embed", lambda crops: torch.ones(len(crops), 512))
    loss = one.loss(8, torch.Generator().manual_seed(0))
    rows, crops = one._batch(8, torch.Generator().manual_seed(0), twice=2)
    assert crops.shape == (8, 3, 112, 112)
    assert (rows[:4] < 4).all()
    assert rows[4:6].equal(rows[6:])
    assert ((rows[4:] >= 4) & (rows[4:] < 10)).all()
    named = one.module["names"](torch.ones(4, 512), one._person[rows[:4]])
    alike = math.log(6)  # of six embeddings, all equal, one is right
    assert loss.item() == pytest.approx(named.item() + SINGLES * alike, rel=1e-5)


@pytest.mark.parametrize("teacher", [True, False])
def test_without_singles_or_with_a_teacher_all_of_a_batch_is_drawn_alike(
    monkeypatch: pytest.MonkeyPatch, teacher: bool
) -> None:
    one = part(monkeypatch, singles=0.5 * teacher, teacher=teacher)
    monkeypatch.setattr(one, "_single", torch.empty(0))  # none could be drawn
    assert one.loss(16, torch.Generator().manual_seed(0)).isfinite()
