"""A threshold for each person: the share of a fixed cohort that reaches it, and nothing else."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest

from bench.core.types import Array
from bench.evaluation.cohort import Cohort, cohort, thresholds
from metrics.identity import recognised

NORMAL = np.array([0.0, 1.0])
NAMES = ("mobilefacenet", "faceres")


def invented(calibration: Array = NORMAL) -> Cohort:
    """A cohort in 6 dimensions, of which it keeps 3 directions, with a covariance that is not the same in all."""
    rng = np.random.default_rng(0)
    axes = np.linalg.qr(rng.normal(size=(6, 6)))[0]
    return Cohort(0.02 * rng.normal(size=6), axes[:, :3], np.array([0.09, 0.04, 0.02]), np.array(0.01), calibration)


def directions(count: int, width: int, seed: int = 1) -> Array:
    return np.asarray(np.random.default_rng(seed).normal(size=(count, width)))


def people(world: Cohort, count: int, seed: int = 1) -> Array:
    """References as real ones are: with as much of each direction as strangers have."""
    return directions(count, len(world.variances), seed) * world.variances**0.5 @ world.basis.T


def test_a_share_is_what_strangers_drawn_at_random_do() -> None:
    world = invented()
    outside = np.eye(6) - world.basis @ world.basis.T
    covariance = world.basis * world.variances @ world.basis.T + float(world.rest) * outside
    strangers = np.random.default_rng(2).multivariate_normal(world.mean, covariance, 200_000)
    for reference in directions(4, 6):
        cosines = strangers @ (reference / np.linalg.norm(reference))
        for far in (0.2, 0.01):
            threshold = world.threshold(reference, far)
            assert (cosines >= threshold).mean() == pytest.approx(far, abs=5 * (far / len(cosines)) ** 0.5)
            assert world.share(reference, threshold) == pytest.approx(far)


def test_a_heavier_tail_asks_for_more() -> None:
    reference = directions(1, 6)[0]
    normal, heavy = invented(), invented(np.array([-0.6, 0.7]))
    threshold = normal.threshold(reference, 0.01)
    odds = np.exp(-0.6 + 0.7 * np.log(0.01 / 0.99))
    assert heavy.share(reference, threshold) == pytest.approx(odds / (1 + odds))
    assert heavy.threshold(reference, 0.01) > threshold


@pytest.mark.parametrize("name", NAMES)
def test_shares_fall_and_thresholds_invert_them(name: str) -> None:
    world = cohort(name)
    reference = people(world, 1)[0]
    shares = [world.share(reference, similarity) for similarity in np.linspace(-0.5, 0.8, 50)]
    assert np.all(np.diff(shares) < 0)
    assert all(0 <= share <= 1 for share in shares)
    for far in (0.5, 0.05, 0.01, 0.001, 1e-5):
        assert world.share(reference, world.threshold(reference, far)) == pytest.approx(far)


@pytest.mark.parametrize("name", NAMES)
def test_a_threshold_depends_on_the_person_alone(name: str) -> None:
    """One person alone, among ten look-alikes, among ten others: nothing but the own reference goes in."""
    world = cohort(name)
    person = people(world, 1)[0]
    looks = person + 0.1 * people(world, 10, seed=2)
    others = people(world, 10, seed=3)
    alone = world.threshold(person, 0.01)
    for crowd in (looks, others):
        together = [world.threshold(reference, 0.01) for reference in (*crowd[:5], person, *crowd[5:])]
        assert together[5] == alone
        assert len(set(together)) == 11  # and it is this person's own
    assert world.threshold(7 * person, 0.01) == pytest.approx(alone)
    assert list(inspect.signature(Cohort.threshold).parameters) == ["self", "reference", "far"]


@pytest.mark.parametrize("reference", [np.zeros(6), np.full(6, np.nan)])
def test_no_direction_is_an_error(reference: Array) -> None:
    with pytest.raises(ValueError, match="direction"):
        invented().threshold(reference, 0.01)


@pytest.mark.parametrize("far", [0.0, 1.0, -0.1, float("nan")])
def test_a_rate_is_between_nothing_and_everything(far: float) -> None:
    with pytest.raises(ValueError, match="false-accept rate"):
        invented().threshold(np.ones(6), far)


def test_a_cohort_comes_back_as_it_was_kept(tmp_path: Path) -> None:
    world, reference = invented(), directions(1, 6)[0]
    world.save(tmp_path / "cohort.safetensors")
    back = Cohort.load(tmp_path / "cohort.safetensors")
    assert back.threshold(reference, 0.01) == pytest.approx(world.threshold(reference, 0.01), abs=1e-6)


def test_judges_share_the_rate() -> None:
    world, reference = invented(), directions(1, 6)[0]
    limits = thresholds({"a": reference, "b": -reference}, {"a": world, "b": world}, 0.01)
    assert limits == {"a": world.threshold(reference, 0.005), "b": world.threshold(-reference, 0.005)}


def test_one_judge_is_enough_and_no_face_is_no_leak() -> None:
    limits = {"a": 0.4, "b": 0.6}
    similarities = {"a": np.array([0.4, 0.3, 0.3, np.nan]), "b": np.array([0.5, 0.6, 0.5, np.nan])}
    assert recognised(similarities, limits).tolist() == [True, True, False, False]
