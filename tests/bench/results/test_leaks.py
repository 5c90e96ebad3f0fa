"""Which pictures leak, from records of either protocol; and that the two are never put together."""

from __future__ import annotations

import gzip
from typing import Any

import pytest

from bench.results.arms import arms
from bench.results.leaks import is_measured, judges_of, leaks, likeness
from bench.results.record import Record
from bench.results.standard import PROTOCOLS
from leaderboard.review.recompute import scores
from tests.support.contexts import ROOT
from tests.support.plain_records import record

ONE = [0.9, 0.2, None, 0.5]
TWO = [0.1, 0.45, None, 0.2]
SCALE = {"ilr": 0.5, "ilr_matched": 0.8, "stranger": 0.0, "own": 1.0}


def images(**similarities: list[float | None]) -> list[dict[str, Any]]:
    facts = {"prompt": 0, "noise_seed": 0, "faces": 1, "sha256": "ab"}
    return [
        {**facts, "image": i, "similarity": None, "similarities": {name: s[i] for name, s in similarities.items()}}
        for i in range(4)
    ]


def second(**thresholds: float) -> Record:
    """By two judges: the thresholds of the first are those of `SCALE`, those of the second 0.1 lower."""
    facts = {"far": 0.01} | {f"{k}.one": v for k, v in SCALE.items()} | {f"{k}.two": v - 0.1 for k, v in SCALE.items()}
    protocol = {"protocol": PROTOCOLS[2]}
    return record(images=images(one=ONE, two=TWO), thresholds=facts | thresholds, provenance=protocol)


def test_either_judge_decides_at_its_own_threshold() -> None:
    assert judges_of(second()) == ("one", "two")
    assert leaks(second()).tolist() == [True, True, False, True]
    assert leaks(second(), "ilr_matched").tolist() == [True, False, False, False]


def test_likeness_is_the_mean_of_the_judges_scales() -> None:
    first = (0.9 + 0.2 + 0 + 0.5) / 4
    other = ((0.1 + 0.1) + (0.45 + 0.1) + 0 + (0.2 + 0.1)) / 4  # from -0.1 to 0.9
    assert likeness(second()) == pytest.approx((first + other) / 2)


def test_protocol_1_has_one_judge_and_one_threshold() -> None:
    facts: dict[str, Any] = {
        "thresholds": {"ilr": 0.5, "far": 0.01, "pairs": 240.0},
        "provenance": {"protocol": PROTOCOLS[1]},
    }
    shown = [{**image, "similarity": s, "similarities": {}} for image, s in zip(images(), ONE, strict=True)]
    old = record(images=shown, **facts)
    assert (old.protocol, judges_of(old), is_measured(old)) == (1, (), True)
    assert leaks(old).tolist() == [True, False, False, True]
    assert likeness(old) is None
    dlib = old.model_copy(update={"metrics": {"ism_calibrated": 0.25}})
    assert dlib.metric("likeness") == 0.25
    assert second().model_copy(update={"metrics": {"ism_calibrated": 0.25}}).metric("likeness") is None


def test_without_thresholds_nothing_is_measured() -> None:
    assert not is_measured(record(images=images(one=ONE, two=TWO), thresholds={"ilr.one": 0.5}))
    assert not is_measured(record(images=[], thresholds={"ilr": 0.5}))


def test_the_two_protocols_are_never_one_arm() -> None:
    old = record(thresholds={"ilr": 0.5}, provenance={"protocol": PROTOCOLS[1]})
    labels = [arm.label for arm in arms([old, second().model_copy(update={"identity": "bob"})])]
    assert len(labels) == 2
    assert len(set(labels)) == 2


@pytest.mark.parametrize("entry", sorted((ROOT / "results").glob("reference-*")), ids=lambda path: path.name)
def test_published_records_are_read_and_their_scores_are_those_of_their_pictures(entry: Any) -> None:
    with gzip.open(entry / "records.jsonl.gz", "rt") as lines:
        for line in list(lines)[::40]:
            each = Record.model_validate_json(line)
            if each.status == "ok":
                assert each.metric("likeness") is not None
                stated = {name: value for name, value in scores(each).items() if value is not None}
                assert stated == pytest.approx({name: each.metrics[name] for name in stated})
