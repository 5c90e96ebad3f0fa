"""KID against the sum over pairs that defines it, and on distributions whose distance is known."""

from __future__ import annotations

import numpy as np
import pytest

from metrics.distribution import kid


def test_kid_is_the_sum_over_pairs(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(100, 3)), rng.normal(0.5, 1, size=(101, 3))

    def kernel(a: np.ndarray, b: np.ndarray) -> float:
        return float((sum(p * q for p, q in zip(a, b, strict=True)) / 3 + 1) ** 3)

    own = sum(kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j) / (100 * 99)
    other = sum(kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j) / (101 * 100)
    cross = sum(kernel(a, b) for a in x for b in y) / (100 * 101)
    assert kid(x, y) == pytest.approx(own + other - 2 * cross)


def test_kid_is_zero_on_average_for_one_distribution_and_grows_with_the_distance(rng: np.random.Generator) -> None:
    same = [kid(rng.normal(size=(200, 4)), rng.normal(size=(200, 4))) for _ in range(40)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 40**0.5
    near, far = (kid(rng.normal(size=(200, 4)), rng.normal(shift, 1, size=(200, 4))) for shift in (0.5, 1.0))
    assert 3 * np.std(same) < near < far


def test_kid_refuses_a_handful_of_pictures() -> None:
    with pytest.raises(ValueError, match="at least 100"):
        kid(np.zeros((99, 4)), np.zeros((100, 4)))
