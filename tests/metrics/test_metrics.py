"""Metrics, audit and leak threshold against answers known by hand, independent oracles and properties."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from skimage.metrics import peak_signal_noise_ratio

from bench.core.budget import audit
from bench.core.errors import BenchError
from bench.core.types import Array, Budget, Pixels
from bench.evaluation.thresholds import MIN_PAIRS, calibrate
from metrics.identity import MIN_DETECTED, centroid, fdfr, ilr, ism_detected, ism_zero, passing
from metrics.perceptual import _ssim_maps
from metrics.visibility import linf, psnr, ssim
from tests.support.pictures import constant, disturbed, photo

NAN = math.nan

cosines = st.floats(-1, 1)
with_missing_faces = st.lists(st.one_of(cosines, st.just(NAN)), min_size=1, max_size=40).map(np.array)


# --- identity -------------------------------------------------------------------------------------------------------

FIVE_OF_EIGHT = np.array([0.9, NAN, 0.5, 0.5, NAN, -0.1, 0.2, NAN])


def test_known_answers() -> None:
    assert fdfr(FIVE_OF_EIGHT) == 3 / 8
    assert ism_detected(FIVE_OF_EIGHT) == pytest.approx(2.0 / 5)
    assert ism_zero(FIVE_OF_EIGHT) == pytest.approx(2.0 / 8)
    assert ilr(passing(FIVE_OF_EIGHT, 0.5)) == 3 / 8, (
        "the threshold itself passes, and missing faces stay in the denominator"
    )
    assert ilr(passing(FIVE_OF_EIGHT, 0.51)) == 1 / 8


def test_no_face_at_all_is_no_leak_and_no_similarity() -> None:
    nothing = np.full(6, NAN)
    assert (fdfr(nothing), ism_detected(nothing), ism_zero(nothing), ilr(passing(nothing, -1.0))) == (
        1.0,
        None,
        0.0,
        0.0,
    )


@pytest.mark.parametrize("found", range(MIN_DETECTED + 2))
def test_mean_over_detected_faces_needs_five_of_them(found: int) -> None:
    similarity = np.array([0.25] * found + [NAN] * 10)
    assert ism_detected(similarity) == (0.25 if found >= 5 else None)


def test_centroid_is_the_normalised_mean() -> None:
    np.testing.assert_allclose(centroid(np.array([[1.0, 0.0], [0.0, 1.0]])), [math.sqrt(0.5)] * 2)


@given(with_missing_faces)
def test_fdfr_counts_the_missing_faces(similarity: Array) -> None:
    assert fdfr(similarity) == pytest.approx(sum(math.isnan(s) for s in similarity) / len(similarity))


@given(with_missing_faces, cosines, cosines)
def test_leak_rate_is_a_share_and_falls_with_the_threshold(similarity: Array, a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert 0 <= ilr(passing(similarity, high)) <= ilr(passing(similarity, low)) <= 1 - fdfr(similarity) + 1e-12


@given(with_missing_faces, cosines, st.data())
def test_a_missing_face_never_raises_the_leak_rate(similarity: Array, threshold: float, data: st.DataObject) -> None:
    blinded = similarity.copy()
    blinded[data.draw(st.integers(0, len(similarity) - 1))] = NAN
    assert ilr(passing(blinded, threshold)) <= ilr(passing(similarity, threshold))
    assert ilr(passing(np.append(similarity, NAN), threshold)) <= ilr(passing(similarity, threshold)), (
        "one more picture without a face"
    )


@given(with_missing_faces)
def test_similarity_with_zeros_is_the_detected_mean_times_the_detection_rate(similarity: Array) -> None:
    detected = ism_detected(similarity)
    if detected is not None:
        assert ism_zero(similarity) == pytest.approx(detected * (1 - fdfr(similarity)), abs=1e-9)


# --- visibility -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("levels", [1, 8, 40, 255])
def test_ssim_is_the_mean_of_the_maps_that_ms_ssim_has(rng: np.random.Generator, levels: int) -> None:
    """Two implementations: scikit-image's, and the terms that MS-SSIM multiplies."""
    clean = photo(rng)
    cloaked = disturbed(clean, rng, levels)
    luminance, structure = _ssim_maps(clean.astype(np.float64), cloaked.astype(np.float64))
    assert ssim(clean, cloaked) == pytest.approx((luminance * structure).mean(), abs=1e-9)
    assert psnr(clean, cloaked) == pytest.approx(peak_signal_noise_ratio(clean, cloaked, data_range=255), abs=1e-9)


def test_ssim_of_two_flat_photos_by_hand() -> None:
    """Without variance only the luminance term remains: (2 a b + c1) / (a^2 + b^2 + c1)."""
    c1 = (0.01 * 255) ** 2
    expected = (2 * 100 * 120 + c1) / (100**2 + 120**2 + c1)
    assert ssim(constant(100), constant(120)) == pytest.approx(expected)


def test_identical_photos(rng: np.random.Generator) -> None:
    clean = photo(rng)
    assert (linf(clean, clean), psnr(clean, clean)) == (0, 100.0)
    assert ssim(clean, clean) == pytest.approx(1)


def test_psnr_by_hand() -> None:
    assert psnr(constant(0), constant(255)) == 0.0
    assert psnr(constant(100), constant(101)) == pytest.approx(20 * math.log10(255))


def test_linf_sees_one_value_and_does_not_wrap_around() -> None:
    """200 - 250 is 206 in uint8; and |0 - 255| is not -1."""
    a, b = constant(200), constant(200)
    b[3, 5, 2] = 250
    assert linf(a, b) == linf(b, a) == 50
    assert linf(constant(0), constant(255)) == 255


# --- audit ----------------------------------------------------------------------------------------------------------


def test_audit_passes_at_the_budget_and_reports_the_largest_change() -> None:
    assert audit([constant(100)] * 2, [constant(103), constant(92)], Budget(8), "mine") == 8
    assert audit([constant(100)], [constant(100)], Budget(0), "none") == 0


def test_audit_fails_one_level_above_the_budget() -> None:
    cloaked = constant(100)
    cloaked[0, 0, 0] = 91
    with pytest.raises(BenchError, match=r"'mine' exceeds its budget: 9 grey levels .* 8 allowed"):
        audit([constant(100)] * 2, [constant(100), cloaked], Budget(8), "mine")


@pytest.mark.parametrize(("budget", "allowed"), [(8.0, 8), (8.9, 8), (7.9999999, 7), (0.5, 0), (6.4, 6), (255, 155)])
def test_audit_compares_whole_levels_without_tolerance(budget: float, allowed: int) -> None:
    assert audit([constant(100)], [constant(100 + allowed)], Budget(budget), "mine") == allowed
    if budget < 255:
        with pytest.raises(BenchError, match="exceeds its budget"):
            audit([constant(100)], [constant(100 + allowed + 1)], Budget(budget), "mine")


@pytest.mark.parametrize(
    "cloaked",
    [
        [],
        [constant(100)],
        [constant(100)] * 3,
        [constant(100), constant(100, 16, 15)],
        [constant(100), constant(100, 32, 32)],
        [constant(100), constant(100)[:, :, :1]],
    ],
    ids=["none", "one missing", "one more", "narrower", "larger", "grey"],
)
def test_audit_fails_when_number_or_size_changed(cloaked: list[Pixels]) -> None:
    with pytest.raises(BenchError, match="changed the number or size"):
        audit([constant(100)] * 2, cloaked, Budget(255), "mine")


@given(st.floats(0, 255))
def test_budget_never_allows_more_than_it_says(levels: float) -> None:
    budget = Budget(levels)
    assert budget.whole_levels <= levels < budget.whole_levels + 1
    assert round(budget.radius * 255) == budget.whole_levels


@pytest.mark.parametrize("levels", [-1, 256, NAN, math.inf])
def test_budget_outside_the_grey_levels_is_rejected(levels: float) -> None:
    with pytest.raises(ValueError, match="between 0 and 255"):
        Budget(levels)


# --- leak threshold -------------------------------------------------------------------------------------------------


def embeddings(rng: np.random.Generator, count: int, dimensions: int = 16) -> Array:
    vectors = rng.normal(size=(count, dimensions))
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True))


def people(rng: np.random.Generator, count: int, photos: int) -> tuple[dict[str, Array], dict[str, Array]]:
    sets = {f"p{i}": embeddings(rng, photos) for i in range(count)}
    return {name: centroid(vectors) for name, vectors in sets.items()}, sets


def impostors(references: dict[str, Array], photos: dict[str, Array]) -> Array:
    pairs = [
        references[a] @ vector for a in references for b, vectors in photos.items() if a != b for vector in vectors
    ]
    return np.array(pairs)


NOBODY = np.empty((0, 16))


@pytest.mark.parametrize("far", [0.01, 0.05])
def test_no_more_impostors_than_stated_reach_the_threshold(rng: np.random.Generator, far: float) -> None:
    references, photos = people(rng, count=40, photos=10)
    threshold = calibrate(references, photos, far, NOBODY)
    scores = impostors(references, photos)
    assert threshold.pairs == len(scores) == 40 * 39 * 10
    assert threshold.far == far
    accepted = float((scores >= threshold.value).mean())
    assert accepted <= far
    assert accepted > 0.9 * far, "a threshold above everybody would call every cloak a success"


def test_genuine_pairs_do_not_take_part(rng: np.random.Generator) -> None:
    """Everybody's photos equal their reference: only a pair of strangers can keep the threshold away from 1."""
    references, _ = people(rng, count=20, photos=1)
    photos = {name: np.stack([reference] * 3) for name, reference in references.items()}
    threshold = calibrate(references, photos, 0.01, NOBODY)
    assert threshold.pairs == 20 * 19 * 3
    assert threshold.value < 0.99


def test_too_few_pairs_are_an_error(rng: np.random.Generator) -> None:
    references, photos = people(rng, count=2, photos=10)
    with pytest.raises(BenchError, match=f"Only 20 impostor pairs .* {MIN_PAIRS} are needed"):
        calibrate(references, photos, 0.01, NOBODY)
    with pytest.raises(BenchError, match="Only 60 impostor pairs"):
        calibrate(references, photos, 0.01, embeddings(rng, 20))
    with pytest.raises(BenchError, match="Only 0 impostor pairs"):
        calibrate({}, {}, 0.01, NOBODY)


def test_strangers_help_out_where_people_are_few(rng: np.random.Generator) -> None:
    references, photos = people(rng, count=2, photos=10)
    threshold = calibrate(references, photos, 0.01, embeddings(rng, 50))
    assert threshold.pairs == 20 + 2 * 50


def test_one_person_alone_is_calibrated_on_strangers_only(rng: np.random.Generator) -> None:
    references, photos = people(rng, count=1, photos=10)
    strangers = embeddings(rng, 200)
    threshold = calibrate(references, photos, 0.01, strangers)
    assert threshold.pairs == 200
    assert (strangers @ references["p0"] >= threshold.value).mean() <= 0.01


def test_strangers_stay_out_where_there_are_people_enough(rng: np.random.Generator) -> None:
    references, photos = people(rng, count=11, photos=1)
    assert len(impostors(references, photos)) == 110
    likenesses = np.stack([*references.values()] * 20)
    assert calibrate(references, photos, 0.01, likenesses) == calibrate(references, photos, 0.01, NOBODY)
