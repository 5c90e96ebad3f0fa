"""Cloaks that know what will be done to the photos."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from bench.core.code_version import CODE
from bench.core.errors import BenchError
from bench.core.images import to_pixels, to_tensor
from bench.core.types import Budget
from countermeasures import COUNTERMEASURES
from countermeasures.jpeg import Jpeg
from countermeasures.resize import Resize
from defenses import DEFENSES
from defenses.adaptive import Adaptive, seen_through
from defenses.pgd import pgd

ADAPTIVE = [name for name in DEFENSES.names() if issubclass(DEFENSES.get(name), Adaptive)]


def seeded() -> torch.Generator:
    return torch.Generator().manual_seed(0)


def photos(count: int = 2, side: int = 32) -> Tensor:
    return torch.rand(count, 3, side, side, generator=seeded())


def made(*through: str) -> Adaptive:
    defense = DEFENSES.create("advdm", {"through": list(through)})
    assert isinstance(defense, Adaptive)
    return defense


def test_the_objective_sees_what_the_countermeasure_makes_and_gradients_reach_the_photos() -> None:
    before = photos().requires_grad_(True)
    after = seen_through(Jpeg(quality=30), before, seeded())
    expected = to_tensor(Jpeg(quality=30).apply(to_pixels(before.detach()), seeded()))
    assert torch.allclose(after, expected, atol=1e-6)
    weights = photos(2).flip(0)
    (after * weights).sum().backward()  # type: ignore[no-untyped-call]
    assert before.grad is not None
    assert torch.equal(before.grad, weights)


def test_each_is_drawn_about_as_often_as_the_untreated_photos() -> None:
    seen: list[bytes] = []
    objective = made("jpeg", "resize").treated(
        lambda each: seen.append(np.stack(to_pixels(each)).tobytes()) or each.sum(),  # type: ignore[func-returns-value]
        seeded(),
    )
    untreated = photos()
    for _ in range(300):
        objective(untreated)
    kinds = [
        np.stack(each).tobytes()
        for each in (
            to_pixels(untreated),
            Jpeg().apply(to_pixels(untreated), seeded()),
            Resize().apply(to_pixels(untreated), seeded()),
        )
    ]
    counts = [seen.count(kind) for kind in kinds]
    assert sum(counts) == 300
    assert min(counts) > 70  # 100 each, four standard deviations


def test_a_cloak_made_through_a_countermeasure_survives_it_better() -> None:
    """An objective wants the photo to be a sharp pattern: blurred, it only is if it was made sharper than that."""
    clean, budget = torch.full((1, 3, 64, 64), 0.5), Budget(16)
    goal = clean + 0.02 * torch.randn(clean.shape, generator=seeded())
    blur = COUNTERMEASURES.create("blur", {})

    def objective(each: Tensor) -> Tensor:
        return -(each - goal).square().sum()

    def missed(*through: str) -> float:
        cloaked = pgd(clean, clean, made(*through).treated(objective, seeded()), budget, 0.5, 60)
        return -float(objective(seen_through(blur, cloaked, seeded())))

    assert missed("blur") < 0.9 * missed()


def test_without_any_the_objective_is_the_very_same() -> None:
    def objective(each: Tensor) -> Tensor:
        return each.sum()

    assert made().treated(objective, seeded()) is objective
    assert CODE not in made().files()


def test_the_code_of_what_it_goes_through_counts() -> None:
    assert made("jpeg").files()[CODE] != made("resize").files()[CODE]


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("crop", "moves what is on the photo"),
        ("grid_pure", "needs the attacker's base"),
        ("jpg", "No countermeasure 'jpg'|Did you mean"),
    ],
)
def test_what_no_cloak_can_go_through_is_refused(name: str, message: str) -> None:
    with pytest.raises(BenchError, match=message):
        made(name)


def test_those_that_can_are_named() -> None:
    assert {"advdm", "antidreambooth", "dladiff", "idprotector_pgd", "metacloak", "mist", "photoguard", "pid"} <= {
        *ADAPTIVE
    }
