"""Countermeasures with a network of their own: against the stock classes, and networks whose answers are known."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, DDPMScheduler
from torch import Tensor

from bench.config.resolved_method import ResolvedMethod
from bench.core.errors import BenchError
from bench.core.images import to_pixels, to_tensor
from bench.core.types import Pixels
from bench.data.synthetic import Synthetic
from bench.models import pixel_unet
from bench.runner.stages import countermeasure
from countermeasures import COUNTERMEASURES, Countermeasure
from countermeasures.diff_pure import DiffPure
from countermeasures.remover import Remover
from countermeasures.vae_pass import VaePass
from tests.support import tiny


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def photo(side: int = 32, seed: int = 0) -> Pixels:
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.fixture(scope="module")
def network(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.pixel_network(tmp_path_factory.mktemp("network"))


def test_vae_pass_is_the_stock_autoencoder(tmp_path: Path) -> None:
    folder = tiny.vae_folder(tmp_path)
    found = VaePass(str(folder)).apply([photo(), photo(33, 1)], seeded())
    stock = AutoencoderKL.from_pretrained(folder)
    with torch.no_grad():
        expected = stock.decode(stock.encode(to_tensor([photo()]) * 2 - 1).latent_dist.mode()).sample / 2 + 0.5
    assert np.array_equal(found[0], to_pixels(expected.clamp(0, 1))[0])
    assert found[1].shape == (33, 33, 3)


def test_without_an_autoencoder_the_way_to_one_is_told() -> None:
    with pytest.raises(BenchError, match=r"vae_pass\.weights is not set") as caught:
        VaePass().files()
    assert "stabilityai/sdxl-vae" in caught.value.fix


@pytest.mark.parametrize("each", [DiffPure(), Remover()])
def test_what_is_shipped_keeps_a_face(each: Countermeasure) -> None:
    """Noise is about 17 dB away, and another person's photo less than 12."""
    face = Synthetic(limit=1).load(128).identities[0].protect[0].pixels
    (found,) = each.apply([face], seeded())
    squared = np.square(found.astype(float) - face).mean()
    assert 10 * np.log10(255**2 / squared) > 22


def test_a_model_that_knows_one_photo_turns_every_photo_into_it(network: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """DDPM's last step gives what the noise amounts to: the photo that the model is sure of."""
    wanted, alphas = to_tensor([photo(seed=7)]) * 2 - 1, DDPMScheduler().alphas_cumprod

    def sure(_: Any, noisy: Tensor, timesteps: Tensor) -> Tensor:
        share = alphas[timesteps.long()][:, None, None, None]
        noise: Tensor = (noisy - share.sqrt() * wanted) / (1 - share).sqrt()
        return noise

    monkeypatch.setattr(pixel_unet, "answer", sure)
    (found,) = DiffPure(timestep=300, steps=20, weights=str(network)).apply([photo()], seeded())
    assert np.abs(found.astype(int) - photo(seed=7)).max() <= 1


def test_as_many_steps_as_timesteps_are_those_of_ddpm(network: Path) -> None:
    """The stock scheduler's own way down, whose steps nobody chose."""
    (found,) = DiffPure(timestep=5, steps=5, weights=str(network)).apply([photo()], seeded())
    random, scheduler = seeded(), DDPMScheduler()
    scheduler.set_timesteps(1000)
    loaded = pixel_unet.load(network, "a test's own", "cpu")
    own = to_tensor([photo()]) * 2 - 1
    noisy = scheduler.add_noise(own, torch.randn(own.shape, generator=random), torch.tensor([5]))
    with torch.no_grad():
        for t in range(5, 0, -1):
            said = pixel_unet.answer(loaded, noisy, torch.tensor([t]))
            made = scheduler.step(said, t, noisy, generator=random)
            noisy = made.prev_sample
    # Where the stock way has a timestep 0 besides, ours takes the photo that the last answer amounts to.
    expected = to_pixels((made.pred_original_sample / 2 + 0.5).clamp(0, 1))[0]
    assert np.abs(found.astype(int) - expected).max() <= 1


def test_more_noise_changes_a_photo_more(network: Path) -> None:
    little, much = (
        DiffPure(timestep=t, steps=4, weights=str(network)).apply([photo()], seeded())[0].astype(float) - photo()
        for t in (10, 200)
    )
    assert np.abs(little).mean() < np.abs(much).mean()


def test_more_steps_than_timesteps_are_refused() -> None:
    with pytest.raises(BenchError, match="no 20 steps below timestep 10"):
        COUNTERMEASURES.create("diff_pure", {"timestep": 10})


@pytest.mark.parametrize(("said", "moved"), [(0.0, 0), (0.2, round(0.1 * 255))])
def test_the_remover_adds_what_its_network_says(
    network: Path, monkeypatch: pytest.MonkeyPatch, said: float, moved: int
) -> None:
    monkeypatch.setattr(pixel_unet, "answer", lambda _, photos, timesteps: torch.full_like(photos, said))
    (found,) = Remover(str(network)).apply([photo()], seeded())
    expected = (photo().astype(int) + moved).clip(0, 255)
    assert np.abs(found.astype(int) - expected).max() <= (1 if said else 0)


@pytest.mark.parametrize("name", ["vae_pass", "remover", "diff_pure"])
def test_other_weights_are_another_output(name: str, tmp_path: Path) -> None:
    make = tiny.vae_folder if name == "vae_pass" else tiny.pixel_network
    folders = [make(tmp_path / "one"), make(tmp_path / "copy"), make(tmp_path / "other")]
    (folders[2] / "config.json").write_text((folders[2] / "config.json").read_text() + "\n")

    def key(folder: Path) -> str:
        method = ResolvedMethod.of(name, COUNTERMEASURES.create(name, {"weights": str(folder)}))
        return countermeasure.key("photos", [method], "base", 0)

    one, copy, other = map(key, folders)
    assert one == copy != other
