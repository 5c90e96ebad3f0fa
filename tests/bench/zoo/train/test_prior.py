"""The training of the prior that `diff_pure` purifies with."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.models import pixel_unet
from bench.zoo.train.prior import Prior
from countermeasures.diff_pure import DiffPure
from tests.support.training_faces import faces


def part(top: int = 300) -> Prior:
    """Eight photos, of whom the last two are held out."""
    some = faces(8)
    return Prior(replace(some, split=np.array(["train"] * 6 + ["held"] * 2)), 16, top)


def test_it_learns_the_noise_below_the_top_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Tensor] = []

    def nothing(_: object, photos: Tensor, timesteps: Tensor) -> Tensor:
        asked.append(timesteps)
        return torch.zeros_like(photos)

    monkeypatch.setattr(pixel_unet, "answer", nothing)
    loss = part(top=7).loss(64, torch.Generator().manual_seed(0))
    assert loss.item() == pytest.approx(1, abs=0.01)  # of who says nothing: the noise's variance
    (timesteps,) = asked
    assert {*timesteps.tolist()} == set(range(7))


def test_the_report_is_the_psnr_that_the_noise_amounts_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_unet, "answer", lambda _, photos, timesteps: torch.zeros_like(photos))
    share = torch.cumprod(1 - torch.linspace(1e-4, 0.02, 1000), 0)[100].item()
    noise = ((1 - share) / share) ** 0.5 / 2  # of the photo, in [0, 1]
    with torch.no_grad():
        assert f"PSNR {-20 * np.log10(noise):.1f} dB" in part().report()


def test_what_is_exported_purifies(tmp_path: Path) -> None:
    part().export(tmp_path)
    photo = np.full((128, 128, 3), 90, np.uint8)
    (found,) = DiffPure(timestep=20, steps=2, weights=str(tmp_path)).apply([photo], torch.Generator())
    assert found.shape == photo.shape
