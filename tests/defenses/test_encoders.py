"""Cloaks against recognisers and image encoders: the networks are the right ones, and their similarity falls."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from bench.core.errors import BenchError
from bench.core.images import to_pixels
from bench.core.seeding import generator
from bench.core.types import Budget
from bench.models.adapters.clip import clip_pixels, load_image_encoder, see
from bench.models.adapters.locate import locate_adapter
from bench.models.adapters.photomaker import load_encoder
from bench.models.diffusion.base import DiffusionModel
from bench.models.faces.alignment import align, move
from bench.models.faces.embedder import FaceEmbedder, aligned, alignment, find_points
from bench.models.faces.insightface import Pack, locate_pack
from bench.models.weights.published import Missing
from defenses import DEFENSES
from defenses.adapter import adapted
from defenses.dladiff import DLADiff
from defenses.encoders import Faces, encoder_folder, face_similarity, look
from defenses.idguardian import unit
from defenses.pgd import random_start
from tests.support import tiny
from tests.support.contexts import defend_context

POINTS = torch.tensor(tiny.POINTS)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("encoders")


@pytest.fixture(scope="module")
def base(root: Path) -> DiffusionModel:
    return tiny.tiny_base(root / "tiny")


@pytest.fixture(scope="module")
def packs(root: Path) -> tuple[Pack, Pack]:
    return tuple(locate_pack(str(tiny.pack(root / f"pack{seed}", seed))) for seed in (0, 1))  # type: ignore[return-value]


@pytest.fixture(scope="module")
def adapter(root: Path, base: DiffusionModel) -> Path:
    return tiny.ip_adapter(root / "adapter", base.unet)


@pytest.fixture(scope="module")
def photos() -> Tensor:
    draw = torch.Generator().manual_seed(3)
    return (0.4 + 0.5 * torch.rand(2, 3, tiny.SIDE, tiny.SIDE, generator=draw)).mul(255).round().div(255)


def by_onnx(pack: Pack, photos: Tensor) -> Tensor:
    """(n, 512) embeddings by onnxruntime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(pack.path / "recogniser.onnx"), providers=["CPUExecutionProvider"])
    faces = align(photos, POINTS.expand(len(photos), -1, -1))
    return torch.from_numpy(np.asarray(session.run(None, {"input": ((faces - 0.5) * 2).numpy()})[0]))


def cosines(pack: Pack, cloaked: Tensor, clean: Tensor) -> Tensor:
    return F.cosine_similarity(by_onnx(pack, cloaked), by_onnx(pack, clean))


# --- networks ---------------------------------------------------------------------------------------------------------


def test_the_torch_module_is_the_onnx_network(packs: tuple[Pack, Pack], photos: Tensor) -> None:
    faces = align(photos, POINTS.expand(2, -1, -1))
    assert torch.allclose(FaceEmbedder(packs[0])(faces), by_onnx(packs[0], photos), rtol=1e-4, atol=1e-3)


def test_gradients_reach_the_photo_through_the_alignment(packs: tuple[Pack, Pack], photos: Tensor) -> None:
    embed, transforms = FaceEmbedder(packs[0]), alignment([POINTS, POINTS])
    seen = photos.clone().requires_grad_(True)
    (slope,) = torch.autograd.grad(embed(aligned(seen, transforms)).sum(), seen)
    step = torch.randn(photos.shape, generator=generator(0))
    apart = [embed(aligned(photos + sign * 1e-3 * step, transforms)).double().sum() for sign in (1, -1)]
    assert float((apart[0] - apart[1]) / 2e-3) == pytest.approx(float((slope * step).sum()), rel=2e-2)


def test_the_tiny_detectors_points_are_found_and_a_black_photo_has_none(
    packs: tuple[Pack, Pack], photos: Tensor
) -> None:
    found = find_points(packs[0], torch.cat([photos[:1], torch.zeros_like(photos[:1])]))
    assert found[0] is not None
    assert torch.allclose(found[0], POINTS, atol=0.1)
    assert found[1] is None


def test_noise_of_the_alignment_is_of_the_stated_size() -> None:
    exact = alignment([POINTS] * 500)
    assert torch.equal(alignment([POINTS] * 500, 0.0), exact)
    shaken = alignment([POINTS] * 500, 0.003, generator(0))
    moved = (shaken - exact) @ torch.tensor([*POINTS.mean(dim=0), 1.0])  # of a point near the face's centre
    assert moved.mean(dim=0).abs().max() < 0.05
    assert float(moved.std()) == pytest.approx(0.003 * 56, rel=0.25)


def test_an_image_encoder_sees_what_the_attacker_shows_it(adapter: Path, photos: Tensor) -> None:
    tower = load_image_encoder(adapter / "image_encoder")
    large = F.interpolate(photos, (80, 80), mode="bicubic").clamp(0, 1).mul(255).round().div(255)
    for seen in (photos, large):
        with torch.no_grad():
            assert float(F.cosine_similarity(look(tower, seen), see(tower, seen)).min()) > 0.999


def test_similarity_is_one_for_the_clean_and_zero_without_a_face(packs: tuple[Pack, Pack], photos: Tensor) -> None:
    clean = torch.cat([photos[:1], torch.zeros_like(photos[:1]), photos[1:]])
    faces = Faces.found(clean, packs[0])
    assert faces.rows == [0, 2]
    found = face_similarity(clean, faces, packs, 0.0, generator(0))(clean)
    assert torch.allclose(found, torch.tensor([[1.0, 0.0, 1.0]] * 2), atol=1e-4)


def test_a_pack_that_does_not_convert_says_so(
    packs: tuple[Pack, Pack], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def convert(file: str) -> Any:
        raise NotImplementedError("Converter is not implemented (Loop)")

    monkeypatch.setattr("onnx2torch.convert", convert)
    with pytest.raises(BenchError, match=r"cannot be turned into a torch module.*Loop"):
        FaceEmbedder(packs[0])


# --- cloaks -----------------------------------------------------------------------------------------------------------

STRONG: dict[str, dict[str, Any]] = {
    "dladiff": {"layers": [2], "face_steps": 20, "face_step": 1.0},
    "idprotector_pgd": {"steps": 20, "step": 1.0},
    "adapter_shield": {"steps": 20, "step": 1.0, "distort": False},
    "idguardian": {"steps": 20, "step": 1.0},
    "faceshield": {"steps": 20, "step": 1.0, "sides": [8]},
}

Protect = Callable[..., Tensor]


@pytest.fixture
def protect(base: DiffusionModel, packs: tuple[Pack, Pack], adapter: Path) -> Protect:
    def run(name: str, photos: Tensor, levels: float = 8, **more: Any) -> Tensor:
        own: dict[str, Any] = {"recognisers": [str(pack.path) for pack in packs]} if name != "noise" else {}
        if name in ("idguardian", "faceshield"):
            own["adapter"] = str(adapter)
        if name == "idprotector_pgd":
            own |= {"image_encoders": [str(adapter / "image_encoder")], "photomaker": "none"}
        defense = DEFENSES.create(name, own | STRONG.get(name, {}) | more).resolved("facelet")
        context = defend_context(base, photos=photos, levels=levels)
        try:
            return defense.protect(photos.clone(), context)
        finally:
            base.restore()

    return run


@pytest.mark.parametrize("name", list(STRONG))
def test_recognisers_are_turned_away_and_noise_does_not(
    name: str, protect: Protect, packs: tuple[Pack, Pack], photos: Tensor
) -> None:
    """As onnxruntime sees the 8-bit photo, at an equal budget. The tiny networks are linear, and hard to turn."""
    more = {"identity_weight": 400.0} if name == "faceshield" else {}  # or the tiny image encoder drowns them
    cloaked, noise = (protect(kind, photos, **m).mul(255).round().div(255) for kind, m in ((name, more), ("noise", {})))
    for pack in packs:
        apart, by_noise = (1 - cosines(pack, seen, photos) for seen in (cloaked, noise))
        assert float(apart.min()) > 5 * float(by_noise.max()) > 0


@pytest.mark.parametrize("name", ["idprotector_pgd", "idguardian", "faceshield"])
def test_image_encoders_are_turned_away(name: str, protect: Protect, adapter: Path, photos: Tensor) -> None:
    tower = load_image_encoder(adapter / "image_encoder")
    clean = see(tower, photos)
    cloaked, noise = (F.cosine_similarity(see(tower, protect(kind, photos)), clean) for kind in (name, "noise"))
    assert float((1 - cloaked).min()) > 5 * float((1 - noise).max()) > 0


def test_photomakers_image_encoder_is_turned_away(
    protect: Protect, base: DiffusionModel, photos: Tensor, tmp_path: Path
) -> None:
    folder = tiny.photomaker(tmp_path / "photomaker", base.unet)
    alone = {"image_encoders": [], "photomaker": str(folder)}
    encoder = load_encoder(locate_adapter("photomaker", str(folder), "tiny"), tiny.WIDTH, "cpu")

    def turned(seen: Tensor) -> Tensor:
        with torch.no_grad():
            one, other = (encoder.tokens(clip_pixels(x, tiny.SIDE)) for x in (seen, photos))
        return 1 - F.cosine_similarity(one, other)

    cloaked = protect("idprotector_pgd", photos, **alone)
    assert float(turned(cloaked).min()) > 5 * float(turned(protect("noise", photos)).max()) > 0


def test_published_image_encoders_go_by_the_base_of_their_adapter(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.models.weights.published.Published.folder", lambda self: None)
    for base, tower in (("sd15", "ViT-H"), ("sdxl", "ViT-bigG")):
        with pytest.raises(Missing, match=tower):
            encoder_folder(base)
    monkeypatch.setattr("bench.models.weights.published.Published.folder", lambda self: Path("/hub"))
    assert encoder_folder("sd15") == Path("/hub/models/image_encoder")
    assert encoder_folder("mine") == Path("mine")
    published = DEFENSES.create("idprotector_pgd", {}).resolved("sd")
    assert (published.image_encoders, published.photomaker) == (("sd15",), "sdxl")  # type: ignore[attr-defined]


def test_layer_two_stops_at_the_threshold(protect: Protect, packs: tuple[Pack, Pack], photos: Tensor) -> None:
    """The photos are not pushed further than asked: with a high threshold the similarity stays near it."""
    cloaked = protect("dladiff", photos, threshold=0.99, sigma=0.0, face_step=0.25, face_steps=40)
    assert 0.985 < float(max(cosines(pack, cloaked, photos).max() for pack in packs)) <= 0.991


def test_layer_two_goes_on_until_all_recognisers_are_at_the_threshold(
    protect: Protect, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    def similarity(seen: Tensor) -> Tensor:
        mean = seen.mean(dim=(1, 2, 3))
        return torch.stack([0.5 + mean, mean - 10])

    monkeypatch.setattr("defenses.dladiff.face_similarity", lambda *args: similarity)
    assert float((protect("dladiff", photos) - photos).mean()) * 255 < -4


def test_layer_two_changes_what_the_recogniser_sees_and_nothing_else(
    protect: Protect, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A small face off the centre: the change stays within the pixels that its aligned crop covers."""
    points = POINTS * 0.4 + torch.tensor([2.0, 15.0])
    monkeypatch.setattr(Faces, "found", classmethod(lambda cls, clean, pack: cls([0, 1], [points, points])))
    moved = (protect("dladiff", photos) - photos).abs().amax(dim=(0, 1)) > 0
    rows, columns = torch.meshgrid(torch.arange(32.0), torch.arange(32.0), indexing="ij")
    places = move(torch.stack([columns, rows], dim=-1).reshape(1, -1, 2), alignment([points]))[0].reshape(32, 32, 2)
    inside = ((places > -1) & (places < 112)).all(dim=-1)
    assert 50 < int(inside.sum()) < 400
    assert not bool((moved & ~inside).any())
    assert float(moved[inside].float().mean()) > 0.8


def test_the_alignment_is_shaken_anew_each_time(packs: tuple[Pack, Pack], photos: Tensor) -> None:
    faces, seen = Faces.found(photos, packs[0]), (photos + 0.05 * photos.flip(-1)).clamp(0, 1)
    exact, shaken = (face_similarity(photos, faces, packs, sigma, generator(0)) for sigma in (0.0, 0.02))
    assert torch.equal(exact(seen), exact(seen))
    assert not torch.equal(shaken(seen), shaken(seen))


@pytest.mark.parametrize("variant", ["intended", "as_released"])
def test_idguardian_steps_along_the_score_and_against_the_similarity(
    protect: Protect, photos: Tensor, monkeypatch: pytest.MonkeyPatch, variant: str
) -> None:
    seen: list[Tensor] = []

    def recording(values: Tensor) -> Tensor:
        seen.append(unit(values))
        return seen[-1]

    monkeypatch.setattr("defenses.idguardian.unit", recording)
    cloaked = protect("idguardian", photos, steps=2, step=3.0, variant=variant)
    first, _, score, slope = seen
    for values in (score, slope):
        assert torch.allclose(values.flatten(1).norm(dim=1), torch.ones(2), atol=1e-4)
    assert not torch.equal(score[:, 0], score[:, 1])  # the latents' first three channels, for the three colours
    assert (float(first.abs().max()) == 0) == (variant == "as_released")  # the clean photo is not deflected
    start = photos if variant == "as_released" else random_start(photos, Budget(1), generator(0))
    steps = ((cloaked - start) * 255 / 3).round()
    assert steps.abs().max() == 2
    once = steps.abs() == 2  # both steps went the same way
    assert torch.equal(steps[once].sign(), (score - slope)[once].sign())


def test_idguardian_reads_patches_for_an_ip_adapter_plus_face(
    protect: Protect, base: DiffusionModel, photos: Tensor, tmp_path: Path
) -> None:
    """As published; the adapter leaves the base again."""
    plus = str(tiny.ip_adapter_plus_face(tmp_path / "plus", base.unet))
    before = dict(base.unet.attn_processors)
    cloaked = protect("idguardian", photos, plus_face=True, adapter=plus, steps=3)
    assert float((cloaked - photos).abs().max()) * 255 > 2
    assert {k: type(v) for k, v in base.unet.attn_processors.items()} == {k: type(v) for k, v in before.items()}
    published = DEFENSES.create("idguardian", {}).resolved("sdxl")
    assert (published.adapter, published.plus_face) == ("sdxl", True)  # type: ignore[attr-defined]


def test_momentum_reaches_the_optimiser(protect: Protect, photos: Tensor) -> None:
    with_it, without = (protect("idprotector_pgd", photos, momentum=m, steps=6, sigma=0.05) for m in (0.9, 0.0))
    assert not torch.equal(with_it, without)


def test_layer_two_leaves_photos_without_a_face_alone(protect: Protect, photos: Tensor) -> None:
    mixed = torch.cat([torch.zeros_like(photos[:1]), photos[:1]])
    cloaked = protect("dladiff", mixed)
    assert torch.equal(cloaked[0], mixed[0])
    assert not torch.equal(cloaked[1], mixed[1])
    assert torch.equal(protect("dladiff", torch.zeros_like(photos)), torch.zeros_like(photos))


def test_the_layers_add_up_as_published_or_share_one_ball(protect: Protect, photos: Tensor) -> None:
    small = {"epochs": 1, "static_steps": 1, "step": 40.0, "sides": [8], "face_steps": 2, "face_step": 40.0}

    def largest(layers: list[int], equal: bool) -> int:
        cloaked = protect("dladiff", photos, 18, layers=layers, equal_budget=equal, **small)
        moved = np.stack(to_pixels(cloaked)).astype(int) - np.stack(to_pixels(photos)).astype(int)
        return int(np.abs(moved).max())

    assert largest([1], equal=False) == 7
    assert largest([2], equal=False) in (10, 11)  # carried back to the photo between two pixels
    assert 11 < largest([1, 2], equal=False) <= 18
    assert largest([1], equal=True) == largest([1, 2], equal=True) == 18


def test_layers_are_one_and_two() -> None:
    for layers in ((), (3,), (1, 3)):
        with pytest.raises(BenchError, match="layers"):
            DLADiff(layers=layers).resolved("sd")


def test_an_adapter_is_taken_out_again_even_after_an_error(base: DiffusionModel, adapter: Path) -> None:
    before = base.snapshot()["unet"]
    with pytest.raises(KeyError), adapted(base, locate_adapter("ip-adapter", str(adapter), "tiny")):
        raise KeyError
    assert base.unet.state_dict().keys() == before.keys()
    base.restore()


# --- files ------------------------------------------------------------------------------------------------------------


def test_fingerprints_follow_the_files_and_not_the_place(
    packs: tuple[Pack, Pack], adapter: Path, tmp_path: Path
) -> None:
    a, b = (str(pack.path) for pack in packs)
    defense = DLADiff(recognisers=(a,)).resolved("sd")
    copy = str(shutil.copytree(a, tmp_path / "copy"))
    assert defense.files() == dataclasses.replace(defense, recognisers=(copy,)).files()
    assert defense.files() != dataclasses.replace(defense, recognisers=(b,)).files()
    assert dataclasses.replace(defense, layers=(1,)).files() == {}
    made = DEFENSES.create("idprotector_pgd", {"recognisers": [a], "image_encoders": [f"{adapter}/image_encoder"]})
    assert set(made.files()) == {"recognisers", "image_encoders"}


@pytest.mark.parametrize("name", ["dladiff", "idprotector_pgd", "adapter_shield", "idguardian", "faceshield"])
def test_an_empty_choice_of_recognisers_says_what_to_pass(name: str) -> None:
    with pytest.raises(BenchError, match="needs face recognisers") as caught:
        DEFENSES.create(name, {"recognisers": []}).resolved("sd").files()
    assert "defense.recognisers" in caught.value.fix
