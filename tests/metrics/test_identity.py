"""Identity metrics beyond rates and means: any leak, calibrated similarity, retention, protection."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics.identity import any_leak, ilr, leave_one_out, on_scale, passing, protection, retention

NAN = math.nan
TWO_OF_SIX = np.array([0.9, NAN, 0.1, 0.7, 0.2, -0.3])


@pytest.mark.parametrize("draws", range(1, 7))
def test_any_leak_counts_the_draws_that_hold_a_leak(draws: int) -> None:
    choices = list(itertools.combinations(TWO_OF_SIX, draws))
    expected = sum(any(value >= 0.5 for value in choice) for choice in choices) / len(choices)
    assert any_leak(passing(TWO_OF_SIX, 0.5), draws) == pytest.approx(expected)


def test_any_leak_of_one_picture_is_the_leak_rate_and_of_too_many_nothing() -> None:
    assert any_leak(passing(TWO_OF_SIX, 0.5), 1) == pytest.approx(ilr(passing(TWO_OF_SIX, 0.5)))
    assert any_leak(passing(TWO_OF_SIX, 0.7), 6) == 1, "the threshold itself leaks"
    assert any_leak(passing(TWO_OF_SIX, 0.5), 7) is None
    assert any_leak(passing(np.full(8, NAN), -1.0), 8) == 0


@given(st.permutations(list(TWO_OF_SIX)), st.integers(1, 6))
def test_any_leak_does_not_depend_on_the_order(shuffled: list[float], draws: int) -> None:
    assert any_leak(passing(np.array(shuffled), 0.5), draws) == any_leak(passing(TWO_OF_SIX, 0.5), draws)


def test_calibrated_similarity_by_hand() -> None:
    """Strangers at 0.1, the person at 0.6: 0.35 is half way, both ends are cut, no face is 0."""
    scaled = on_scale(np.array([0.35, 0.9, -0.5, NAN]), 0.1, 0.6)
    assert scaled is not None
    assert scaled.tolist() == pytest.approx([0.5, 1, 0, 0])
    assert on_scale(np.array([0.5]), 0.6, 0.6) is None


@given(st.floats(0.1, 5), st.floats(-1, 1))
def test_calibrated_similarity_forgets_the_recognisers_scale(scale: float, shift: float) -> None:
    here = on_scale(TWO_OF_SIX, 0.0, 0.8)
    there = on_scale(TWO_OF_SIX * scale + shift, shift, 0.8 * scale + shift)
    assert there == pytest.approx(here)


def test_leave_one_out_by_hand() -> None:
    """Two at a right angle, and one between: 45 degrees to each other's mean, and cos 67.5 for the outer ones."""
    diagonal = math.sqrt(0.5)
    three = np.array([[1.0, 0.0], [0.0, 1.0], [diagonal, diagonal]])
    assert leave_one_out(three) == pytest.approx((2 * math.cos(math.radians(67.5)) + 1) / 3)


def test_retention_by_hand() -> None:
    clean = np.array([[1.0, 0.0], [0.0, 1.0], [NAN, NAN], [1.0, 0.0]])
    cloaked = np.array([[0.6, 0.8], [NAN, NAN], [1.0, 0.0], [1.0, 0.0]])
    assert retention(clean, cloaked) == pytest.approx((0.6 + 0 + 1) / 3)
    assert retention(clean[2:3], cloaked[2:3]) is None


def test_protection_by_hand() -> None:
    assert protection(0.2, 0.8) == pytest.approx(0.75)
    assert protection(0.9, 0.6) == pytest.approx(-0.5)
    assert protection(0.0, 0.49) is None
    assert protection(0.25, 0.5) == 0.5
