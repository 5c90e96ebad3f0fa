"""KID against the sum over pairs that defines it, and on distributions whose distance is known."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from cleanfid.fid import frechet_distance, get_folder_features, kernel_distance

from bench.core.errors import BenchError
from bench.core.images import png_bytes
from metrics.distribution import MIN_FRECHET, _mmd, frechet, kid, kid_interval
from metrics.features import BATCH, Features, extractor


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


def test_kid_agrees_with_clean_fid(rng: np.random.Generator) -> None:
    """On sets of equal size, of which its subsets are all."""
    x, y = rng.normal(size=(150, 5)), rng.normal(0.5, 1, size=(150, 5))
    assert kid(x, y) == pytest.approx(kernel_distance(x, y, num_subsets=2, max_subset_size=150), rel=1e-9)


def test_the_interval_of_kid_covers_the_true_distance_of_people(rng: np.random.Generator) -> None:
    """People differ by a shift of their own, the same on both sides, as pictures of one person do."""
    people = np.repeat(np.arange(12), 12)

    def draw() -> tuple[np.ndarray, np.ndarray]:
        shifts = np.repeat(rng.normal(size=(12, 3)), 12, axis=0)
        return shifts + rng.normal(size=(144, 3)), shifts + rng.normal(size=(144, 3)) + 0.5

    truth = np.mean([kid(*draw()) for _ in range(200)])
    intervals = [kid_interval(*draw(), people, people) for _ in range(100)]
    assert 0.88 <= np.mean([low <= truth <= high for low, high in intervals]) <= 1
    assert all(low < high for low, high in intervals)


def test_the_interval_of_kid_by_hand_for_people_of_equal_pictures(rng: np.random.Generator) -> None:
    x, y = rng.normal(size=(120, 2)), rng.normal(1, 1, size=(120, 2))
    people = np.repeat(np.arange(4), 30)
    without = np.array([_mmd(x[people != p], y[people != p]) for p in range(4)])
    error = float(np.sqrt(3 / 4 * ((without - without.mean()) ** 2).sum()))
    low, high = kid_interval(x, y, people, people)
    assert (high + low) / 2 == pytest.approx(kid(x, y))
    assert (high - low) / 2 == pytest.approx(3.182446 * error, rel=1e-6)
    with pytest.raises(ValueError, match="three people"):
        kid_interval(x, y, people // 2, people // 2)


def test_frechet_agrees_with_clean_fid_and_with_known_gaussians(rng: np.random.Generator) -> None:
    mix = rng.normal(size=(6, 6))
    x, y = rng.normal(size=(MIN_FRECHET, 6)), rng.normal(0.3, 1, size=(MIN_FRECHET, 6)) @ mix
    moments = (x.mean(0), np.cov(x, rowvar=False), y.mean(0), np.cov(y, rowvar=False))
    assert frechet(x, y) == pytest.approx(float(frechet_distance(*moments)), rel=1e-6)
    assert frechet(x, x) == pytest.approx(0, abs=1e-9)
    assert frechet(x, x + 2) == pytest.approx(6 * 4)
    assert frechet(x, 3 * x - 2 * x.mean(0)) == pytest.approx(4 * np.trace(np.cov(x, rowvar=False)))


def test_frechet_refuses_small_samples(rng: np.random.Generator) -> None:
    enough = rng.normal(size=(MIN_FRECHET, 4))
    with pytest.raises(ValueError, match="at least 2048 pictures"):
        frechet(enough[1:], enough)
    wide = np.zeros((MIN_FRECHET, 3000))
    with pytest.raises(ValueError, match="at least 3001 pictures"):
        frechet(wide, wide)


# --- features -------------------------------------------------------------------------------------------------------

MEANS = Features("channel means", "1", lambda batch: batch.mean(dim=(2, 3)))


def test_features_are_those_of_clean_fid(rng: np.random.Generator, tmp_path: Path) -> None:
    pictures = [rng.integers(0, 256, (64, 48, 3)).astype(np.uint8) for _ in range(BATCH + 3)]
    for index, picture in enumerate(pictures):
        (tmp_path / f"{index:03d}.png").write_bytes(png_bytes(picture))
    expected = get_folder_features(
        str(tmp_path), MEANS.network, num_workers=0, batch_size=7, device="cpu", mode="clean", verbose=False
    )
    found = MEANS.describe(pictures)["features"]
    np.testing.assert_allclose(found, expected, rtol=1e-6)
    alone = MEANS.describe(pictures[5:6])["features"]
    np.testing.assert_array_equal(alone[0], found[5])


def test_extractors_that_are_not_there_say_how_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(BenchError, match="check_download_inception"):
        extractor(str(tmp_path / "inception-2015-12-05.pt"))
    with pytest.raises(BenchError, match="no extractor 'nowhere:net'"):
        extractor("nowhere:net")
    with pytest.raises(BenchError, match=r"is no metrics\.features\.Features"):
        extractor("tests.metrics.test_distribution:MIN_FRECHET")
    assert extractor("tests.metrics.test_distribution:MEANS") is MEANS
