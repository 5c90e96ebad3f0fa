"""Numbers that the facts of a record contradict keep an entry out; what a run measures never does."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from bench.evaluation.cohort import MATCHED, cohort, thresholds
from bench.results.record import Record
from leaderboard.entries.agreement import Agreement
from leaderboard.entries.strict_json import Problem
from leaderboard.review import visibility_checks
from leaderboard.review.record_checks import faults
from leaderboard.review.validate import validate
from metrics.identity import any_leak, ilr
from metrics.perceptual import worst
from metrics.visibility import linf, psnr
from tests.support.entries import JUDGES, grid, made, write_entry
from tests.support.plain_records import record

Facts = dict[str, Any]


def changed(one: Record, change: Callable[[Facts], None]) -> Record:
    facts = one.model_dump()
    change(facts)
    return Record.model_validate(facts)


def fields(one: Record) -> set[str]:
    return {field for field, _ in faults(one)}


def problems(tmp_path: Path, records: Sequence[Record], **facts: Any) -> list[Problem]:
    return validate(write_entry(tmp_path, records=records, **facts)).problems


def test_a_run_contradicts_nothing() -> None:
    assert [fields(one) for one in grid(["p1", "p2"])] == [set()] * 8


# --- thresholds -----------------------------------------------------------------------------------------------------


def alike(similarity: float, **rules: float) -> Callable[[Facts], None]:
    """Every picture that similar, thresholds raised, and scores that follow from both."""

    def change(facts: Facts) -> None:
        for image in facts["images"]:
            image |= {"similarity": similarity, "similarities": dict.fromkeys(JUDGES, similarity)}
        for name, value in rules.items():
            facts["thresholds"] |= {f"{name}.{judge}": value for judge in JUDGES}
        rates = {"ilr": 0.0, "ilr_matched": 0.0, "any_leak@4": 0.0}
        facts["metrics"] |= dict.fromkeys(("ism_detected", "ism_zero", "likeness"), similarity) | rates

    return change


def test_a_threshold_above_everybodys_hides_no_leak(tmp_path: Path) -> None:
    """All of it agrees: similarity 0.9 of every picture, thresholds 0.95 of every record, and so no leak."""
    lie = [changed(one, alike(0.9, ilr=0.95, ilr_matched=0.97)) for one in grid()]
    said = {(found.field, found.message.partition(".")[0]) for found in problems(tmp_path, lie)}
    assert ("thresholds.ilr.mobilefacenet", "is 0") in said
    assert {field for field, _ in said} == {f"thresholds.{rule}.{j}" for rule in ("ilr", "ilr_matched") for j in JUDGES}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("far", 0.5),
        ("ilr.faceres", 0.49),
        ("ilr_matched.faceres", 0.7),
        ("stranger.mobilefacenet", -0.1),
        ("own.faceres", 3.0),
    ],
)
def test_a_threshold_that_the_cohort_contradicts_is_named(name: str, value: float) -> None:
    lie = changed(made(leaks=4), lambda facts: facts["thresholds"].update({name: value}))
    assert any(field.startswith("thresholds.") for field in fields(lie))


@pytest.mark.parametrize("name", ["ilr.faceres", "ilr_matched.faceres", "stranger.faceres", "own.faceres", "far"])
def test_a_threshold_that_is_missing_is_named(name: str) -> None:
    assert fields(changed(made(), lambda facts: facts["thresholds"].pop(name))) != set()


@pytest.mark.parametrize("judges", [1, 0.5, True, None, {}, "faceres"])
def test_judges_that_are_no_list_are_named(judges: Any) -> None:
    lie = changed(made(), lambda facts: facts["provenance"]["protocol"].update(judges=judges))
    assert "images.0.similarities" in fields(lie)


@given(seed=st.integers(0, 2**32 - 1), far=st.floats(1e-4, 0.2))
def test_thresholds_of_any_person_are_such_as_the_cohort_gives(seed: int, far: float) -> None:
    random = np.random.default_rng(seed)
    world = {judge: cohort(judge) for judge in JUDGES}
    references = {judge: random.normal(size=len(each.mean)) for judge, each in world.items()}
    rules = {"ilr": thresholds(references, world, far), "ilr_matched": thresholds(references, world, far * MATCHED)}
    rules["stranger"] = {judge: each.stranger(references[judge]) for judge, each in world.items()}

    def change(facts: Facts) -> None:
        facts["thresholds"] |= {"far": far} | {f"{n}.{j}": v for n, each in rules.items() for j, v in each.items()}
        facts["provenance"] = {**facts["provenance"], "protocol": {**facts["provenance"]["protocol"], "far": far}}

    assert not any(field.startswith("thresholds") for field in fields(changed(made(), change)))


@pytest.mark.parametrize("protocol", [1, 2])
def test_thresholds_of_one_person_agree(protocol: int) -> None:
    """Of protocol 2 another person has others; of protocol 1, which had one for a data set, nobody has."""
    rules = {"far": 0.01, "ilr": 0.5} if protocol == 1 else made().thresholds
    name = "ilr" if protocol == 1 else "ilr.faceres"
    asked = {"data": {"fingerprint": "f"}, "protocol": {"version": 2} if protocol == 2 else {}}
    images = [image.model_dump() | ({"similarities": {}} if protocol == 1 else {}) for image in made().images]
    first = record("ann", thresholds=rules, provenance=asked, images=images)
    again = record("ann", thresholds=rules | {name: rules[name] + 0.01}, provenance=asked, images=images)
    other = record("bob", thresholds=rules | {name: rules[name] + 0.01}, provenance=asked, images=images)
    agreement = Agreement()
    assert list(agreement.faults(first)) == []
    assert [field for field, _ in agreement.faults(again)] == [f"thresholds.{name}"]
    assert bool(list(agreement.faults(other))) == (protocol == 1)


def test_a_person_whose_threshold_changes_keeps_an_entry_out(tmp_path: Path) -> None:
    """Each record by itself could be true: thresholds lower for another width of strangers."""

    def narrower(facts: Facts) -> None:
        for name in [f"{rule}.{judge}" for rule in ("ilr", "ilr_matched") for judge in JUDGES]:
            facts["thresholds"][name] *= 0.9

    records = [changed(one, narrower) if one.defense.name == "aspl" else one for one in grid()]
    assert all(fields(one) == set() for one in records)
    assert {p.field for p in problems(tmp_path, records)} >= {"thresholds.ilr.faceres", "thresholds.ilr.mobilefacenet"}


# --- pictures -------------------------------------------------------------------------------------------------------


def _leak_nothing(facts: Facts) -> None:
    """Without the pictures that leak."""
    facts["images"] = [image for image in facts["images"] if image["similarity"] < 0.5]
    facts["metrics"] |= dict.fromkeys(("ism_detected", "ism_zero", "likeness"), 0.25)
    facts["metrics"] |= {"ilr": 0.0, "ilr_matched": 0.0, "any_leak@4": 0.0}


def _as_of_protocol_1(facts: Facts) -> None:
    """Without the judges, by one threshold that nothing contradicts."""
    facts["images"] = [{**image, "similarities": {}} for image in facts["images"]]
    facts["thresholds"] |= {"ilr": 0.9}
    facts["metrics"] |= {"ilr": 0.0}


def _of_first(**facts: Any) -> Callable[[Facts], None]:
    return lambda record: record["images"][0].update(facts)


@pytest.mark.parametrize(
    ("change", "field"),
    [
        (_leak_nothing, "images"),
        (_of_first(image=1), "images"),
        (_of_first(faces=0), "images.0.faces"),
        (_of_first(similarity=None), "images.0.faces"),
        (_of_first(similarities=dict.fromkeys(JUDGES)), "images.0.similarity"),
        (_of_first(similarity=0.3), "images.0.similarity"),
        (_of_first(similarity=1.5, similarities=dict.fromkeys(JUDGES, 1.5)), "images.0.similarity"),
        (_as_of_protocol_1, "images.0.similarities"),
        (lambda r: r["metrics"].update({"any_leak@4": 0.0}), "metrics.any_leak@4"),
        (lambda r: r["metrics"].update({"any_leak@16": 0.5}), "metrics.any_leak@16"),
        (lambda r: r["metrics"].update({"ilr.faceres": 0.1}), "metrics.ilr.faceres"),
        (lambda r: r["metrics"].update({"ilr": 0.1}), "metrics.ilr"),
        (lambda r: r["metrics"].update({"ilr_matched": 0.1}), "metrics.ilr_matched"),
        (lambda r: r["metrics"].update({"likeness": 0.1}), "metrics.likeness"),
        (lambda r: r["metrics"].update({"fdfr": 0.1}), "metrics.fdfr"),
    ],
)
def test_what_pictures_decide_is_computed_again(change: Callable[[Facts], None], field: str) -> None:
    assert field in fields(changed(made(leaks=4), change))


def test_further_rates_of_a_run_are_right() -> None:
    leaking = np.arange(16) % 8 < 4
    rates = {"any_leak@16": any_leak(leaking, 16), "ilr.faceres": ilr(leaking), "ilr.mobilefacenet": ilr(leaking)}
    assert fields(changed(made(leaks=4), lambda facts: facts["metrics"].update(rates))) == set()


# --- how visible a cloak is -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("metrics", "field"),
    [
        ({"linf": 1.0, "psnr": 40.0}, "metrics.psnr"),
        ({"linf": 0.0, "psnr": 32.0, "ssim": 1.0}, "metrics.psnr"),
        ({"linf": 0.0, "psnr": 100.0, "ssim": 0.9}, "metrics.ssim"),
        ({"linf": 7.5}, "metrics.linf"),
        ({"linf": 8.0, "l1": 9.0}, "metrics.l1"),
        ({"linf": 8.0, "l1": 1.0, "psnr": 32.0}, "metrics.psnr"),
        ({"linf": 8.0, "l1": 7.9, "psnr": 60.0}, "metrics.psnr"),
        ({"linf": 8.0, "psnr.worst": 33.0}, "metrics.psnr.worst"),
        ({"linf": 8.0, "ssim.worst": 0.9}, "metrics.ssim.worst"),
        ({"linf": 8.0, "l1": 6.0, "l1.worst": 5.0}, "metrics.l1.worst"),
        ({"linf": 9.0}, "metrics.linf"),
    ],
)
def test_distances_that_contradict_each_other_are_named(metrics: dict[str, float], field: str) -> None:
    lie = changed(made(defense="aspl", budget=8), lambda facts: facts["metrics"].update(metrics))
    assert field in fields(lie)


@given(seed=st.integers(0, 2**32 - 1), budget=st.integers(0, 16), share=st.sampled_from([0.0, 0.001, 0.3, 1.0]))
def test_distances_of_any_photos_contradict_nothing(seed: int, budget: int, share: float) -> None:
    """Some photos changed everywhere, or in few values, or not at all."""
    random = np.random.default_rng(seed)
    clean = random.integers(0, 256, (5, 12, 12, 3), dtype=np.uint8)
    moves = random.integers(-budget, budget + 1, clean.shape) * (random.random(clean.shape) < share)
    moves *= random.integers(0, 2, (5, 1, 1, 1))
    cloaked = np.clip(clean + moves, 0, 255).astype(np.uint8)
    pairs = list(zip(clean, cloaked, strict=True))
    noise = [psnr(a, b) for a, b in pairs]
    change = [float(np.abs(a.astype(float) - b).mean()) for a, b in pairs]
    metrics = {
        "linf": float(max(linf(a, b) for a, b in pairs)),
        "psnr": float(np.mean(noise)),
        "psnr.worst": worst(noise, False),
        "l1": float(np.mean(change)),
        "l1.worst": worst(change, True),
    }
    assert list(visibility_checks.faults(record(metrics=metrics))) == []


# --- versions -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("stated", ["1", "2", "2.1"])
def test_an_entry_is_of_the_protocol_of_its_records(tmp_path: Path, stated: str) -> None:
    said = [(p.field, p.message) for p in problems(tmp_path, grid(), protocol=stated)]
    wrong = f"is of version 2, and entry.json says {stated}. Submit the run again."
    assert said == ([] if stated == "2" else [("provenance.protocol", wrong)])


def test_an_entry_of_records_of_two_protocols_is_refused(tmp_path: Path) -> None:
    def older(facts: Facts) -> None:
        asked = {name: value for name, value in facts["provenance"]["protocol"].items() if name != "version"}
        facts["provenance"] = {**facts["provenance"], "protocol": asked}

    one, *others = grid()
    fields = {p.field for p in problems(tmp_path, [changed(one, older), *others])}
    assert "provenance.protocol" in fields
