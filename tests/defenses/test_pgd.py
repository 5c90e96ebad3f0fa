"""The optimiser, and ASPL, whose loop others share; what all defenses promise is in test_defense_contract."""

from __future__ import annotations

from typing import Literal

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from bench.core.seeding import generator
from bench.core.types import Budget
from bench.models.diffusion.base import DiffusionModel
from defenses import DEFENSES
from defenses.aspl import Aspl
from defenses.pgd import annealed, pgd, project, random_start
from tests.support.contexts import defend_context


def protect(name: str, base: DiffusionModel, photos: Tensor, levels: float, seed: int = 0, **more: object) -> Tensor:
    defense = DEFENSES.create(name, more).resolved("facelet")
    try:
        return defense.protect(photos.clone(), defend_context(base, photos=photos, levels=levels, seed=seed))
    finally:
        base.restore()


def test_aspl_teaches_its_surrogate_with_every_photo(
    base: DiffusionModel, photos: Tensor, monkeypatch: pytest.MonkeyPatch
) -> None:
    sizes: list[int] = []

    def finetune(
        model: DiffusionModel, weights: object, latents: object, recipe: object, *rest: object, **more: object
    ) -> None:
        sizes.append(len(latents.mean))  # type: ignore[attr-defined]
        assert recipe.batch == len(photos)  # type: ignore[attr-defined]

    monkeypatch.setattr("defenses.surrogates.finetune", finetune)
    protect("aspl", base, photos, 8, rounds=2, surrogate_steps=1, pgd_steps=2, step=9.0)
    assert sizes == [len(photos)] * 4  # clean and cloaked, in each of two rounds


def test_aspl_presets() -> None:
    published = Aspl().resolved("sd")
    assert (published.rounds, published.step, published.learning_rate, published.class_count) == (50, 0.64, 5e-7, 200)
    assert Aspl().resolved("facelet").preset == "facelet"


CLEAN = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.5 + 0.25


def test_ascent_finds_the_known_optimum() -> None:
    """The mean of all values is largest at the upper corner of the ball, cut off at white."""
    clean = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    found = pgd(clean, clean, torch.Tensor.mean, Budget(10), step=2, steps=8)
    assert torch.allclose(found, (clean + 10 / 255).clamp(max=1))


def test_l2_steps_go_along_the_gradient_by_their_root_mean_square() -> None:
    slope = torch.randn(CLEAN.shape, generator=torch.Generator().manual_seed(1))
    moved = pgd(CLEAN, CLEAN, lambda photos: (photos * slope).sum(), Budget(255), step=3, steps=1, norm="l2") - CLEAN
    assert moved.square().mean(dim=(1, 2, 3)).sqrt() * 255 == pytest.approx(3, rel=1e-4)
    assert torch.allclose(torch.cosine_similarity(moved.flatten(1), slope.flatten(1)), torch.ones(2), atol=1e-5)


def test_tiny_gradients_count_and_none_moves_nothing() -> None:
    norms: list[Literal["linf", "l2"]] = ["linf", "l2"]
    for norm in norms:
        tiny = pgd(CLEAN, CLEAN, lambda photos: 1e-25 * photos.sum(), Budget(9), 1, 1, norm=norm)
        assert torch.allclose(tiny - CLEAN, torch.tensor(1 / 255), atol=1e-6)
        assert torch.equal(pgd(CLEAN, CLEAN, lambda photos: 0 * photos.sum(), Budget(9), 1, 1, norm=norm), CLEAN)


def test_momentum_is_the_published_sum_of_unit_gradients() -> None:
    slopes = iter(torch.randn(2, *CLEAN.shape, generator=torch.Generator().manual_seed(1)))
    seen: list[Tensor] = []

    def objective(photos: Tensor) -> Tensor:
        seen.append(next(slopes))
        return (photos * seen[-1]).sum()

    found = pgd(CLEAN, CLEAN, objective, Budget(200), step=1, steps=2, momentum=0.5)
    first, second = (slope / slope.abs().mean(dim=(1, 2, 3), keepdim=True) for slope in seen)
    expected = CLEAN + (first.sign() + (0.5 * first + second).sign()) / 255
    assert torch.allclose(found, expected, atol=1e-6)


def test_draws_are_averaged_and_steps_may_shrink() -> None:
    signs = iter([1.0, 1.0, -1.0] * 2)
    sizes: list[float] = []

    def size(done: float) -> float:
        sizes.append(annealed(4, 2)(done))
        return sizes[-1]

    found = pgd(CLEAN, CLEAN, lambda photos: next(signs) * photos.sum(), Budget(99), size, 2, draws=3)
    assert sizes == [4, 3]
    assert torch.allclose(found, CLEAN + 7 / 255, atol=1e-6)  # two of three say up


def test_a_random_start_fills_the_ball() -> None:
    start = random_start(CLEAN, Budget(12), generator(0)) - CLEAN
    assert float(start.abs().max()) <= 12 / 255 + 1e-6
    assert float(start.std()) * 255 == pytest.approx(12 / 3**0.5, rel=0.1)  # uniform


@given(levels=st.integers(0, 255))
def test_projection_is_idempotent_and_inside(levels: int) -> None:
    clean = torch.rand(1, 3, 4, 4, generator=torch.Generator().manual_seed(1))
    wild = torch.randn(1, 3, 4, 4, generator=torch.Generator().manual_seed(2)) * 3
    once = project(wild, clean, Budget(levels))
    assert torch.equal(project(once, clean, Budget(levels)), once)
    assert float((once - clean).abs().max()) <= levels / 255 + 1e-6
    assert 0 <= float(once.min()) <= float(once.max()) <= 1
