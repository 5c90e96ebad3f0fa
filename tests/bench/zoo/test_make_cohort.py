"""The cohort: its moments are those of the photos, and its tail is corrected to what strangers do."""

from __future__ import annotations

import numpy as np
import pytest

from bench.core.types import Array
from bench.evaluation.cohort import cohort, cohort_file
from bench.models.faces.panel import Panel
from bench.zoo import make_cohort
from bench.zoo.make_cohort import PER_PERSON, RATES, UNCORRECTED, Photos, calibrate, fit, validate

WIDTH = 100


def strangers(people: int, heavy: bool) -> Photos:
    """Embeddings that scatter around people, some of whom, if tails are heavy, stand much farther out than others."""
    rng = np.random.default_rng(0)
    scale = np.linspace(3, 1, WIDTH)
    centres = rng.normal(size=(people, WIDTH)) * scale
    if heavy:
        centres[:, :2] *= rng.chisquare(2, size=(people, 1))
    embeddings = np.repeat(centres, PER_PERSON, axis=0)
    embeddings = embeddings + 0.7 * rng.normal(size=embeddings.shape) * scale + 5
    return Photos(embeddings, np.repeat([f"p{i:03}" for i in range(people)], PER_PERSON))


def unit(photos: Photos, mean: Array) -> Array:
    centred = photos.embeddings - mean
    return np.asarray(centred / np.linalg.norm(centred, axis=1, keepdims=True))


def test_it_keeps_the_moments_of_the_photos(monkeypatch: pytest.MonkeyPatch) -> None:
    photos = strangers(200, heavy=False)
    mean, world = fit(photos)
    np.testing.assert_allclose(mean, photos.embeddings.mean(axis=0))
    faces = unit(photos, mean)
    reference = faces[0]
    # Of a normal distribution half are above the mean, and 15.9 % above mean and standard deviation together.
    inside = world.basis @ (world.basis.T @ reference)
    cosines = faces @ (inside / np.linalg.norm(inside))
    assert world.threshold(inside, 0.5) == pytest.approx(cosines.mean(), abs=1e-6)
    one = world.threshold(inside, 0.158655254)
    assert one - world.threshold(inside, 0.5) == pytest.approx(cosines.std(), rel=1e-6)


@pytest.mark.parametrize("heavy", [False, True])
def test_a_corrected_tail_holds_the_rate(heavy: bool) -> None:
    photos = strangers(240, heavy)
    before = validate(photos, UNCORRECTED)
    assert before.shape == (240, len(RATES))
    calibration = calibrate(before)
    after = validate(photos, calibration).mean(axis=0)
    misses = [np.abs(np.log(rates[2:] / RATES[2:])).max() for rates in (before.mean(axis=0), after)]
    assert misses[1] < 0.15
    assert misses[1] < misses[0] or not heavy
    if heavy:
        assert misses[0] > 0.15


def test_what_ships_holds_aggregates_and_nobodys_photo() -> None:
    for judge in Panel().judges:
        world = cohort(judge.name)
        shapes = (world.mean.shape, world.basis.shape, world.variances.shape, world.rest.shape, world.calibration.shape)
        assert shapes == ((judge.width,), (judge.width, make_cohort.DIRECTIONS), (make_cohort.DIRECTIONS,), (), (2,))
        np.testing.assert_allclose(world.basis.T @ world.basis, np.eye(make_cohort.DIRECTIONS), atol=1e-4)
        whole = world.variances.sum() + world.rest * (judge.width - make_cohort.DIRECTIONS)
        assert whole == pytest.approx(1, abs=0.01)  # of unit vectors around their mean
        assert cohort_file(judge.name).stat().st_size < 500_000
