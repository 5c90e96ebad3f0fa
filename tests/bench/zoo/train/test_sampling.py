"""Batches that sample pictures: what is estimated and differentiated, and that adapters ask as the attacks do."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler
from safetensors.torch import load_file
from torch import Tensor

from bench.core.images import to_tensor
from bench.data.synthetic import Synthetic
from bench.models.diffusion.base import DiffusionModel
from bench.models.faces.insightface import FaceAnalyser, largest, locate_pack
from bench.zoo.train.adapter import SCALE, Adapter, save_groups
from bench.zoo.train.base import NOISE
from bench.zoo.train.instantid import InstantId
from bench.zoo.train.ip_adapter import IpAdapter, fresh
from bench.zoo.train.likeness import Likeness
from bench.zoo.train.names import Names
from bench.zoo.train.networks import EMBEDDING
from bench.zoo.train.photomaker import PhotoMaker
from bench.zoo.train.photos import Faces
from bench.zoo.train.sampling import FIRST, GUIDANCE, STEPS, glimpse
from tests.support.tiny import vision_tower
from tests.support.training_views import PHOTOS, Picture, faces, prepare, views

SCHEDULER = DDPMScheduler(**NOISE)
SHAPE = (2, 4, 8, 8)


def rng(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def knows(clean: Tensor, calls: list[float] | None = None) -> Callable[[Tensor, Tensor], Tensor]:
    """The right prediction for latents that are `clean` and noise."""

    def predict(latents: Tensor, t: Tensor) -> Tensor:
        if calls is not None:
            calls.append(float(t))
        signal = SCHEDULER.alphas_cumprod[t]
        noise: Tensor = (latents - signal.sqrt() * clean) / (1 - signal).sqrt()
        return noise

    return predict


# the estimate


@pytest.mark.parametrize("seed", range(4))
def test_the_estimate_of_who_knows_the_picture_is_the_picture(seed: int) -> None:
    clean = torch.randn(SHAPE, generator=rng(1))
    found = glimpse(knows(clean), knows(clean), torch.randn(SHAPE, generator=rng(2)), SCHEDULER.config, rng(seed))
    torch.testing.assert_close(found, clean, atol=1e-3, rtol=0)


def test_guidance_leads_away_from_what_nobody_asked_for() -> None:
    asked, free = torch.randn(2, *SHAPE, generator=rng(1))
    found = glimpse(knows(asked), knows(free), torch.randn(SHAPE, generator=rng(2)), SCHEDULER.config, rng())
    torch.testing.assert_close(found, free + GUIDANCE * (asked - free), atol=1e-3, rtol=0)


def test_it_stops_at_a_random_late_step() -> None:
    lengths = set()
    for seed in range(60):
        calls: list[float] = []
        predict = knows(torch.zeros(SHAPE), calls)
        glimpse(predict, knows(torch.zeros(SHAPE)), torch.randn(SHAPE), SCHEDULER.config, rng(seed))
        assert calls == sorted(calls, reverse=True)
        lengths.add(len(calls))
    assert lengths == set(range(FIRST + 1, STEPS + 1))


def test_gradients_go_through_the_last_told_prediction_alone() -> None:
    weight, other = torch.ones((), requires_grad=True), torch.ones((), requires_grad=True)
    inner, seen = knows(torch.randn(SHAPE, generator=rng(1))), []

    def told(latents: Tensor, t: Tensor) -> Tensor:
        seen.append((latents, t))
        return weight * inner(latents, t)

    found = glimpse(
        told, lambda latents, t: other * inner(latents, t), torch.randn(SHAPE), SCHEDULER.config, rng()
    ).sum()
    mine, theirs = torch.autograd.grad(found, (weight, other), allow_unused=True)
    latents, t = seen[-1]
    signal = SCHEDULER.alphas_cumprod[t]
    wanted = -GUIDANCE * (1 - signal).sqrt() / signal.sqrt() * inner(latents, t).sum()
    torch.testing.assert_close(mine, wanted)
    assert theirs is None


# the loss


def test_a_face_is_compared_where_it_is_found(recogniser: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The same faces elsewhere in the picture cost nothing, if the detector says where."""
    known = views(Picture(), 4)
    loss = Likeness(known, {"residual": recogniser}, 1.0)
    rows = torch.arange(PHOTOS)
    shown = known.pixels(rows) * 2 - 1
    moved, side = shown.roll((3, -5), dims=(2, 3)), shown.shape[-1]
    places = known.points(rows) + torch.tensor([-5.0, 3.0]) / side

    lost = loss.of_samples(2 * moved, rows, rng()).item()  # noise has no faces: taken to be at their old place
    monkeypatch.setattr(loss, "_faces", lambda _: (places, torch.ones(PHOTOS).bool()))
    assert loss.of_samples(2 * moved, rows, rng()).item() < 0.5 * lost
    # An adapter that was told where the face should be answers for that place alone.
    assert loss.of_samples(2 * moved, rows, rng(), placed=1.0).item() == pytest.approx(lost)


def test_faces_are_found_where_insightface_finds_them_with_the_same_detector(recogniser: Path) -> None:
    photos = [photo.pixels for who in Synthetic(limit=3).load(128).identities for photo in who.protect]
    points, sure = Likeness(views(Picture(), 4), {"residual": recogniser}, 1.0)._faces(to_tensor(photos) * 2 - 1)
    assert sure.float().mean() > 0.8
    analyser = FaceAnalyser(locate_pack("facelet-id-a"))
    for place, photo in zip(points[sure], [photo for photo, one in zip(photos, sure, strict=True) if one], strict=True):
        face = largest(analyser.faces(photo))
        assert face is not None
        np.testing.assert_allclose(128 * place.numpy(), face.points, atol=1e-3)
    assert not Likeness(views(Picture(), 4), {"residual": recogniser}, 1.0)._faces(torch.zeros(1, 3, 128, 128))[1].any()


# the adapters


def ip_adapter(shared: dict[str, Any], folder: Path) -> Adapter:
    return IpAdapter(encoder="", faceid=True, rank=4, **shared)


def instantid(shared: dict[str, Any], folder: Path) -> Adapter:
    return InstantId(encoder="", **shared)


def photomaker(shared: dict[str, Any], folder: Path) -> Adapter:
    save_groups(folder / "teacher.safetensors", **fresh_adapter(folder))
    vision_tower(8, seed=0).half().save_pretrained(folder / "tower")
    return PhotoMaker(
        encoder=str(folder / "tower"), pack="", teacher=str(folder / "teacher.safetensors"), rank=4, **shared
    )


def fresh_adapter(folder: Path) -> dict[str, dict[str, Tensor]]:
    from diffusers import UNet2DConditionModel

    return fresh(UNet2DConditionModel.from_pretrained(folder / "base", subfolder="unet"), EMBEDDING, True, 0)


def names(shared: dict[str, Any], folder: Path) -> Adapter:
    return Names(encoder="", **shared)


@pytest.fixture(params=[ip_adapter, instantid, photomaker, names])
def part(
    request: pytest.FixtureRequest,
    base: DiffusionModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    recogniser: Path,
) -> Adapter:
    folder = prepare(base, tmp_path)
    monkeypatch.setattr(Faces, "load", lambda _: faces())
    torch.manual_seed(0)
    shared = {
        "base": str(folder),
        "photos": "",
        "latents": str(tmp_path / "latents.pt"),
        "cache": str(tmp_path / "embeddings.pt"),
        "recognisers": {"residual": str(recogniser)},
        "sampled": 1.0,
    }
    made: Adapter = request.param(shared, tmp_path)
    with torch.no_grad():
        for weight in made.module.parameters():
            if weight.requires_grad and weight.abs().max() == 0:  # new layers are nothing at first
                weight.copy_(0.05 * torch.randn(weight.shape))
    return made


@pytest.mark.parametrize("seed", range(3))  # the second stage asks by the word or by tokens
def test_who_is_asked_for_changes_the_told_prediction_and_not_the_free_one(
    part: Adapter, base: DiffusionModel, seed: int
) -> None:
    rows, t = torch.arange(2), torch.tensor(300)
    latents = torch.randn(2, *base.latent_shape)
    with torch.no_grad():
        told, free = part._asked(rows, rng(seed))
        one, nobody = told(latents, t), free(latents, t)
        part._embeddings = part._embeddings.roll(1, dims=0)  # type: ignore[attr-defined]
        told, free = part._asked(rows, rng(seed))
        other, again = told(latents, t), free(latents, t)
    assert (one - other).abs().max() > 1e-4
    assert torch.equal(nobody, again)


def test_a_sampled_batch_trains_the_adapter_and_nothing_else(part: Adapter) -> None:
    wanted = {name for name, weight in part.module.named_parameters() if weight.requires_grad}
    part.loss(4, rng()).backward()  # type: ignore[no-untyped-call]
    moved = {name for name, w in part.module.named_parameters() if w.grad is not None and w.grad.abs().max() > 0}
    assert moved
    assert moved <= wanted


@pytest.mark.parametrize("part", [ip_adapter], indirect=True)
@pytest.mark.parametrize("share", [0.0, 0.5, 1.0])
def test_a_share_of_the_batches_samples(part: Adapter, monkeypatch: pytest.MonkeyPatch, share: float) -> None:
    sampled: list[int] = []
    monkeypatch.setattr(part, "_sampled", share)
    monkeypatch.setattr(part, "_glimpse", lambda rows, _: sampled.append(len(rows)))
    monkeypatch.setattr(part._likeness, "of_samples", lambda *_: torch.zeros(()))
    monkeypatch.setattr(part, "_errors", lambda _: (torch.zeros(1), torch.zeros(1)))
    for seed in range(16):
        part.loss(2, rng(seed))
    low, high = {0.0: (0, 0), 0.5: (3, 13), 1.0: (16, 16)}[share]
    assert low <= len(sampled) <= high


@pytest.mark.parametrize("part", [ip_adapter], indirect=True)
def test_no_more_pictures_are_sampled_than_are_wanted(part: Adapter, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    monkeypatch.setattr(part, "_glimpse", lambda rows, _: seen.append(len(rows)))
    monkeypatch.setattr(part._likeness, "of_samples", lambda *_: torch.zeros(()))
    monkeypatch.setattr(part._likeness, "pictures", 3)
    part.loss(5, rng())
    part.loss(2, rng())
    assert seen == [3, 2]


@pytest.mark.parametrize(("part", "placed"), [(ip_adapter, 0), (photomaker, 0), (instantid, 0.5)], indirect=["part"])
def test_instantid_alone_answers_for_where_the_face_is(
    part: Adapter, monkeypatch: pytest.MonkeyPatch, placed: float
) -> None:
    seen: list[float] = []

    def spy(latents: Tensor, rows: Tensor, random: torch.Generator, placed: float) -> Tensor:
        seen.append(placed)
        return torch.zeros(())

    monkeypatch.setattr(part, "_glimpse", lambda rows, _: rows)
    monkeypatch.setattr(part._likeness, "of_samples", spy)
    part.loss(2, rng())
    assert seen == [placed]


@pytest.mark.parametrize("part", [ip_adapter, instantid], indirect=True)
def test_an_example_of_nobody_has_no_embedding(part: IpAdapter, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(part, "_present", lambda *_: torch.tensor([1.0, 0.0, 1.0]))
    shown = part._other_views(torch.arange(3), rng()).abs().amax(dim=1) > 0
    assert shown.tolist() == [True, False, True]


@pytest.mark.parametrize("part", [instantid], indirect=True)
def test_the_controlnet_is_trained_at_the_attacks_weight(part: InstantId, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[float] = []
    forward = part._net.forward

    def spy(*inputs: Any, **settings: Any) -> Any:
        seen.append(settings["conditioning_scale"])
        return forward(*inputs, **settings)

    monkeypatch.setattr(part._net, "forward", spy)
    part.loss(2, rng())
    assert set(seen) == {SCALE}


@pytest.mark.parametrize("part", [photomaker], indirect=True)
def test_photomaker_asks_with_the_plain_prompt_at_first(base: DiffusionModel, part: PhotoMaker) -> None:
    latents = torch.randn(2, *base.latent_shape)
    with torch.no_grad():
        told, _ = part._asked(torch.arange(2), rng())
        early = told(latents, torch.tensor(900))
        part._embeddings = part._embeddings.roll(1, dims=0)
        told, _ = part._asked(torch.arange(2), rng())
        assert torch.equal(early, told(latents, torch.tensor(900)))


@pytest.mark.parametrize("part", [ip_adapter, instantid], indirect=True)
def test_ip_adapters_are_trained_at_the_attacks_weight(part: Adapter) -> None:
    scales = [p.scale for p in part._unet.attn_processors.values() if hasattr(p, "to_k_ip")]
    assert scales
    assert all(scale == [SCALE] for scale in scales)


@pytest.mark.parametrize("part", [names], indirect=True)
def test_the_second_stage_asks_both_ways(part: Names) -> None:
    ways = set()
    for seed in range(20):
        part._asked(torch.arange(2), rng(seed))
        ways.add((part._way, max(p.scale[0] for p in part._unet.attn_processors.values() if hasattr(p, "to_k_ip"))))
    assert ways == {("word", 0.0), ("tokens", SCALE)}


def test_instantid_goes_on_from_what_it_exported(
    base: DiffusionModel,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = prepare(base, tmp_path)
    monkeypatch.setattr(Faces, "load", lambda _: faces())
    cached = {"latents": str(tmp_path / "latents.pt"), "cache": str(tmp_path / "embeddings.pt")}
    shared = {"base": str(folder), "photos": "", "encoder": "", **cached}
    first = InstantId(**shared)
    with torch.no_grad():
        for weight in first.module.parameters():
            if weight.requires_grad:
                weight.add_(0.1 * torch.randn(weight.shape))
    first.export(tmp_path / "final")
    InstantId(**shared, init=str(tmp_path / "final" / "ip-adapter.safetensors")).export(tmp_path / "again")
    for file in ("ip-adapter.safetensors", "ControlNetModel/diffusion_pytorch_model.safetensors"):
        one, two = (load_file(tmp_path / f / file) for f in ("final", "again"))
        assert one.keys() == two.keys()
        assert all(torch.equal(one[key], two[key]) for key in one)
    config = json.loads((tmp_path / "again" / "ControlNetModel" / "config.json").read_text())
    assert "_name_or_path" not in config
