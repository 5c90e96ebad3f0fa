"""The autoencoder's training: what each loss teaches, and what is reported."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from bench.zoo.train.adversary import Critic
from bench.zoo.train.fidelity import likeness, psnr
from bench.zoo.train.networks import fused, residual
from bench.zoo.train.vae import Autoencoder, build
from tests.support.training_faces import faces

SMALL = (16, 16, 16, 16)


def part(adversary: float = 0.0, *, taught: bool = False) -> Autoencoder:
    torch.manual_seed(0)
    split = np.array(["train", "train", "held", "tune"])
    teachers = [residual((16, 16, 16, 16), (1, 1, 1))] if taught else []
    witness = fused((16, 16), (1, 1)) if taught else None
    return Autoencoder(
        build(SMALL, 128), replace(faces(), split=split), None, teachers, adversary=adversary, witness=witness
    )


def gradients(module: torch.nn.Module) -> list[Tensor]:
    return [weight.grad for weight in module.parameters() if weight.grad is not None]


def test_every_term_of_the_loss_counts_and_reaches_the_autoencoder() -> None:
    losses = []
    with torch.no_grad():
        for trained in (part(), part(taught=True), part(0.5)):
            losses.append(round(trained.loss(1, torch.Generator().manual_seed(0)).item(), 4))
    assert len(set(losses)) == 3
    trained = part(0.5, taught=True)
    trained.loss(1, torch.Generator().manual_seed(0)).backward()  # type: ignore[no-untyped-call]
    assert len(gradients(trained.module)) == len(list(trained.module.parameters()))


def test_the_critic_and_what_it_criticises_learn_apart() -> None:
    critic, restored = Critic(), torch.rand(2, 3, 32, 32, requires_grad=True)
    photos = torch.rand(2, 3, 32, 32)
    assert critic(photos).shape == (2, 1, 4, 4)
    critic.against(restored).backward()  # type: ignore[no-untyped-call]
    assert not gradients(critic)
    assert restored.grad is not None
    restored.grad = None
    critic.own(restored, photos).backward()  # type: ignore[no-untyped-call]
    assert restored.grad is None
    assert len(gradients(critic)) == len(list(critic.parameters()))


def test_a_critic_learns_to_tell_and_its_opponent_to_pass() -> None:
    torch.manual_seed(0)
    critic, grey = Critic(), torch.full((2, 3, 32, 32), 0.5)
    photos = torch.rand(2, 3, 32, 32)
    optimiser = torch.optim.Adam(critic.parameters(), 1e-3)
    before = critic.own(grey, photos).item()
    for _ in range(20):
        optimiser.zero_grad()
        critic.own(grey, photos).backward()  # type: ignore[no-untyped-call]
        optimiser.step()
    assert critic.own(grey, photos).item() < 0.7 * before
    assert critic.against(grey) > critic.against(photos)


def test_the_report_names_error_and_likeness_of_people_kept_for_tuning() -> None:
    trained = part(taught=True)
    trained.module.eval()
    with torch.no_grad():
        said = trained.report()
        (seen,) = trained._seen_again(trained._witness)
    assert "PSNR" in said
    assert f"cosine {seen:.3f}" in said


@pytest.mark.parametrize("network", [residual((16, 16, 16, 16), (1, 1, 1)), fused((16, 16), (1, 1))])
def test_a_face_is_like_itself_and_less_like_another(network: torch.nn.Sequential) -> None:
    network.eval()
    mine, other = torch.rand(2, 2, 3, 112, 112)
    assert likeness(network, mine, mine).item() == pytest.approx(0, abs=1e-5)
    assert likeness(network, other, mine) > 0.01


def test_psnr_of_a_known_error() -> None:
    assert psnr(torch.full((1, 3, 4, 4), 0.2), torch.zeros(1, 3, 4, 4)).item() == pytest.approx(20)


def test_stock_diffusers_loads_it_with_its_scale(tmp_path: Path) -> None:
    trained = part(0.1)
    trained.module.eval()
    trained.export(tmp_path)
    loaded = AutoencoderKL.from_pretrained(tmp_path / "vae")
    with torch.no_grad():
        spread = loaded.encode(torch.ones(1, 3, 128, 128)).latent_dist.mean.std()
    assert loaded.config.scaling_factor > 0
    assert spread.isfinite()
