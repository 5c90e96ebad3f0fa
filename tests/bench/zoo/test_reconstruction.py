"""What comes back of photos: known answers of the figures, by the judges and in decibels."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

from bench.core.types import Pixels
from bench.models.weights.files import ZOO
from bench.zoo.reconstruction import Judged, psnr, through

PEOPLE = [np.asarray(Image.open(ZOO / "synthetic" / person / "set_A" / "00.png")) for person in ("p01", "p02", "p03")]
FACELESS: Pixels = np.full((128, 128, 3), 128, np.uint8)


def same(photos: Tensor) -> Tensor:
    return photos


def somebody_else(photos: Tensor) -> Tensor:
    return photos.roll(1, dims=0)


def test_what_comes_back_as_it_was_is_the_same_person_to_every_judge() -> None:
    found = Judged([*PEOPLE, FACELESS]).cosines(same)
    assert set(found) == {"mobilefacenet", "faceres"}
    for cosines in found.values():
        np.testing.assert_allclose(cosines, [1, 1, 1], atol=1e-6)


def test_somebody_else_is_not() -> None:
    for cosines in Judged(PEOPLE).cosines(somebody_else).values():
        assert cosines.max() < 0.5


def test_the_largest_face_counts_where_the_photo_has_it() -> None:
    """Two people on each of two photos, in places of their own; all but the large face comes back as noise."""
    photos, kept = [], []
    for large, small, left in ((PEOPLE[0], PEOPLE[1], 0), (PEOPLE[1], PEOPLE[2], 144)):
        photo = np.full((256, 256, 3), 128, np.uint8)
        photo[:112, left : left + 112] = np.asarray(Image.fromarray(large).resize((112, 112)))
        photo[192:, 96:160] = np.asarray(Image.fromarray(small).resize((64, 64)))
        same = np.zeros((256, 256), bool)
        same[:112, left : left + 112] = True
        photos.append(photo)
        kept.append(same)
    mask = torch.from_numpy(np.stack(kept))[:, None]
    noise = torch.rand(2, 3, 256, 256, generator=torch.Generator().manual_seed(0))
    for cosines in Judged(photos).cosines(lambda given: torch.where(mask, given, noise)).values():
        assert cosines.min() > 0.9


def test_decibels_are_those_of_the_mean_squared_error() -> None:
    assert psnr(lambda photos: photos + 0.1, PEOPLE) == pytest.approx(20, abs=1e-3)
    both = psnr(lambda photos: photos + torch.tensor([0.1, 0.01, 0.01])[:, None, None, None], PEOPLE)
    assert both == pytest.approx((20 + 40 + 40) / 3, abs=1e-2)


def test_the_shipped_autoencoder_keeps_a_face() -> None:
    restore = through(ZOO / "facelet-1" / "vae")
    assert psnr(restore, PEOPLE) > 20
    assert min(cosines.min() for cosines in Judged(PEOPLE).cosines(restore).values()) > 0.3
