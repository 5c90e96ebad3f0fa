"""What every defense promises: the budget on the saved PNG, determinism, and doing more than noise."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from torch import Tensor

from bench.budget import audit
from bench.images import png_bytes, read_png, to_pixels
from bench.models.base import Base
from bench.seeds import generator
from bench.types import Budget
from defenses import DEFENSES, Context
from defenses.aspl import Aspl
from defenses.pgd import ascend, project

SMALL: dict[str, dict[str, object]] = {"aspl": {"rounds": 2, "surrogate_steps": 1, "pgd_steps": 2, "step": 9.0}}
NAMES = DEFENSES.names()


def protect(name: str, base: Base, photos: Tensor, levels: float, seed: int = 0, **more: object) -> Tensor:
    def nobody(base: Base, count: int) -> Tensor:
        raise AssertionError("no class pictures are wanted here")

    defense = DEFENSES.create(name, SMALL.get(name, {}) | more).resolved("facelet")
    try:
        return defense.protect(photos.clone(), Context([base], photos, Budget(levels), generator(seed), nobody))
    finally:
        base.restore()


@pytest.mark.parametrize("name", NAMES)
@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(levels=st.floats(0, 40), seed=st.integers(0, 3))
def test_the_saved_png_holds_the_budget(
    name: str, base: Base, photos: Tensor, tmp_path: Path, levels: float, seed: int
) -> None:
    cloaked = protect(name, base, photos, levels, seed)
    saved = []
    for index, picture in enumerate(to_pixels(cloaked)):
        (tmp_path / f"{index}.png").write_bytes(png_bytes(picture))
        saved.append(read_png(tmp_path / f"{index}.png"))
    assert audit(to_pixels(photos), saved, Budget(levels), name) <= levels


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_the_budget_is_used(name: str, base: Base, photos: Tensor) -> None:
    assert audit(to_pixels(photos), to_pixels(protect(name, base, photos, 6)), Budget(6), name) == 6


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_cloak(name: str, base: Base, photos: Tensor) -> None:
    assert torch.equal(protect(name, base, photos, 8), protect(name, base, photos, 8))


@pytest.mark.parametrize("name", [name for name in NAMES if name != "none"])
def test_another_seed_another_cloak(name: str, base: Base, photos: Tensor) -> None:
    assert not torch.equal(protect(name, base, photos, 8), protect(name, base, photos, 8, seed=1))


def test_aspl_raises_the_loss_more_than_noise_does(base: Base, photos: Tensor) -> None:
    """At an equal budget, on the surrogate it was made for, over draws that it has not seen."""

    def loss(candidates: Tensor) -> float:
        condition = base.condition(["a photo of sks person"]).expand(len(candidates))
        with torch.no_grad():
            latents = base.encode(candidates)
            draws = [base.denoising_errors(latents, condition, generator("test", i)).mean() for i in range(24)]
        return float(torch.stack(draws).mean())

    cloak = protect("aspl", base, photos, 16, rounds=4, surrogate_steps=1, pgd_steps=6, step=3.2)
    assert loss(cloak) > loss(protect("noise", base, photos, 16)) > loss(photos) * 0.9


def test_aspl_teaches_its_surrogate_with_every_photo(
    base: Base, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def finetune(model: Base, weights: object, latents: object, recipe: object, *rest: object) -> None:
        sizes.append(len(latents.mean))  # type: ignore[attr-defined]
        assert recipe.batch == len(photos)  # type: ignore[attr-defined]

    monkeypatch.setattr("defenses.aspl.finetune", finetune)
    protect("aspl", base, photos, 8)
    assert sizes == [len(photos)] * 4  # clean and cloaked, in each of two rounds


def test_aspl_presets() -> None:
    published = Aspl().resolved("sd")
    assert (published.rounds, published.step, published.learning_rate, published.class_count) == (50, 0.64, 5e-7, 200)
    assert Aspl().resolved("facelet").preset == "facelet"


def test_ascent_finds_the_known_optimum() -> None:
    """The mean of all values is largest at the upper corner of the ball, cut off at white."""
    clean = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = ascend(clean, clean, torch.Tensor.mean, Budget(10), step=2, steps=8)
    assert torch.allclose(found, (clean + 10 / 255).clamp(max=1))


@given(levels=st.integers(0, 255))
def test_projection_is_idempotent_and_inside(levels: int) -> None:
    clean = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    wild = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(2)) * 3
    once = project(wild, clean, Budget(levels))
    assert torch.equal(project(once, clean, Budget(levels)), once)
    assert float((once - clean).abs().max()) <= levels / 255 + 1e-6
    assert 0 <= float(once.min()) <= float(once.max()) <= 1
