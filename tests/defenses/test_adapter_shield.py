"""Adapter Shield: passwords, the loss by hand, and that the encoders come to read the encrypted embedding."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.seeding import generator
from bench.models.adapters.clip import load_image_encoder, see
from bench.models.faces.alignment import align
from bench.models.faces.insightface import Pack, locate_pack
from defenses.adapter_shield import AdapterShield, distorted, encrypted
from tests.support import tiny
from tests.support.contexts import defend_context


@pytest.fixture(scope="module")
def packs(tmp_path_factory: pytest.TempPathFactory) -> list[Pack]:
    root = tmp_path_factory.mktemp("packs")
    return [locate_pack(str(tiny.pack(root / f"pack{seed}", seed))) for seed in (0, 1)]


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("adapter")
    return tiny.ip_adapter(root / "adapter", tiny.tiny_base(root / "base").unet)


@pytest.fixture(scope="module")
def photos() -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return (0.4 + 0.5 * torch.rand(2, 3, tiny.SIDE, tiny.SIDE, generator=draw)).mul(255).round().div(255)


def protect(packs: list[Pack], photos: Tensor, levels: float = 8, **settings: Any) -> Tensor:
    made = AdapterShield(recognisers=tuple(str(pack.path) for pack in packs), **settings)
    return made.protect(photos.clone(), defend_context(photos=photos, levels=levels))


def matrix(pack: Pack) -> Tensor:
    """What the tiny recogniser multiplies the means of its tiles with."""
    import onnx

    graph = onnx.load(str(pack.path / "recogniser.onnx")).graph
    return torch.from_numpy(onnx.numpy_helper.to_array(graph.initializer[0]).copy())


def embeddings(pack: Pack, photos: Tensor) -> Tensor:
    """(n, 512) by hand: means of 16 x 16 tiles of the aligned face in [-1, 1], times the matrix."""
    faces = align(photos, torch.tensor(tiny.POINTS).expand(len(photos), -1, -1)) * 2 - 1
    tiles = faces.reshape(len(photos), 3, 7, 16, 7, 16).mean(dim=(3, 5)).flatten(1)
    return tiles @ matrix(pack)


def aims(packs: list[Pack], photos: Tensor) -> list[Tensor]:
    """The encrypted embeddings that a cloak of seed 0 is after."""
    draw = generator(0)
    return [encrypted(embeddings(pack, photos), draw) for pack in packs]


def cosine(a: Tensor, b: Tensor) -> Tensor:
    lengths: Tensor = a.norm(dim=1) * b.norm(dim=1)
    return (a * b).sum(dim=1) / lengths


# --- passwords -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean", [0, 20])
def test_an_encrypted_embedding_is_unlike_the_original_and_others_and_as_long(mean: int) -> None:
    """Whether its entries are around zero or not."""
    plain = (torch.randn(1, 512, generator=generator(1)) * 7 + mean).expand(200, -1)
    locked = encrypted(plain, generator(2))
    assert torch.allclose(locked.norm(dim=1), plain.norm(dim=1), rtol=1e-5)
    apart = cosine(locked, plain)
    assert abs(float(apart.mean())) < 0.01
    assert float(apart.std()) == pytest.approx(512**-0.5, rel=0.2)
    among = F.normalize(locked, dim=1) @ F.normalize(locked, dim=1).T - torch.eye(200)
    assert float(among.abs().max()) < 0.3
    assert torch.equal(locked, encrypted(plain, generator(2)))
    assert not torch.equal(locked, encrypted(plain, generator(3)))


def test_the_password_leads_back() -> None:
    """What it does to the axes says all: it is orthogonal."""
    draw = generator(4)
    state = draw.get_state()
    embedding = torch.randn(1, 32, generator=generator(5))
    locked = encrypted(embedding, draw)
    axes = []
    for axis in torch.eye(32):
        draw.set_state(state)
        axes.append(encrypted(axis[None], draw)[0])
    rotation = torch.stack(axes)
    assert torch.allclose(rotation @ rotation.T, torch.eye(32))
    assert torch.allclose(locked @ rotation.T, embedding, atol=1e-6)


# --- the loss --------------------------------------------------------------------------------------------------------


def test_one_step_is_against_the_loss_of_the_paper(packs: list[Pack], photos: Tensor) -> None:
    """Sum over encoders of 1 - cosine to the encrypted embedding."""
    wanted = aims(packs, photos)
    seen = photos.clone().requires_grad_(True)
    losses = [(1 - cosine(embeddings(p, seen), w)).sum() for p, w in zip(packs, wanted, strict=True)]
    (slope,) = torch.autograd.grad(torch.stack(losses).sum(), seen)
    moved = (photos - 2 / 255 * slope.sign()).clamp(0, 1)
    found = protect(packs, photos, steps=1, step=2.0, sigma=0.0, distort=False)
    assert float(slope.abs().max()) > 0
    assert float(((found - moved).abs() < 1e-6).float().mean()) > 0.99


@pytest.mark.parametrize("distort", [True, False])
def test_every_encoder_comes_to_read_the_encrypted_embedding(packs: list[Pack], photos: Tensor, distort: bool) -> None:
    cloaked = protect(packs, photos, levels=16, steps=40, step=1.0, distort=distort)
    noisy = (photos + 16 / 255 * torch.randn(photos.shape, generator=generator(9)).sign()).clamp(0, 1)
    for pack, wanted in zip(packs, aims(packs, photos), strict=True):
        before, by_noise, after = (cosine(embeddings(pack, x), wanted) for x in (photos, noisy, cloaked))
        assert float((by_noise - before).abs().max()) < 0.03
        assert float((after - before).min()) > 0.08


def test_a_photo_is_finished_when_all_its_encoders_are(packs: list[Pack], photos: Tensor) -> None:
    start = torch.stack([cosine(embeddings(p, photos), w) for p, w in zip(packs, aims(packs, photos), strict=True)])
    low = float(start.max()) + 0.02
    cloaked = protect(packs, photos, levels=40, steps=200, step=0.4, sigma=0.0, distort=False, threshold=low)
    ends = torch.stack([cosine(embeddings(p, cloaked), w) for p, w in zip(packs, aims(packs, photos), strict=True)])
    assert float(ends.min()) >= low - 1e-4
    assert float(ends.min(dim=0).values.max()) < low + 0.01
    assert torch.equal(protect(packs, photos, steps=3, threshold=-1.0, distort=False), photos)


def test_image_encoders_are_led_to_a_password_too(packs: list[Pack], adapter: Path, photos: Tensor) -> None:
    tower = load_image_encoder(adapter / "image_encoder")
    clean = see(tower, photos)
    more: dict[str, Any] = {
        "image_encoders": (str(adapter / "image_encoder"),),
        "steps": 15,
        "step": 1.0,
        "distort": False,
    }
    with_it, without = (
        1 - F.cosine_similarity(see(tower, protect(packs, photos, **own)), clean)
        for own in (more, more | {"image_encoders": ()})
    )
    assert float(with_it.min()) > 3 * float(without.max()) > 0


# --- the loop --------------------------------------------------------------------------------------------------------


def test_distortions_are_nothing_noise_or_blur_a_third_of_the_time_each() -> None:
    flat = torch.full((1, 3, 8, 512), 0.5)
    rough = flat + torch.arange(512).remainder(2) * 0.4
    kinds: list[str] = []
    for index in range(90):
        plain, striped = (distorted(photos, generator("d", index)) for photos in (flat, rough))
        if not torch.allclose(plain, flat, atol=1e-6):
            kinds.append("noise")
            assert float((plain - flat).std()) <= 0.052
            assert torch.allclose(striped - rough, plain - flat, atol=1e-6)
        else:
            kinds.append("same" if torch.equal(striped, rough) else "blur")
            assert float(striped.std()) <= float(rough.std()) + 1e-6
    counts = np.unique(kinds, return_counts=True)
    assert list(counts[0]) == ["blur", "noise", "same"]
    assert min(counts[1]) >= 20
