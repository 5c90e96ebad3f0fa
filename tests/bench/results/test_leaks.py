"""Which pictures leak and how alike they are, by either protocol; and that the two are never put together."""

from __future__ import annotations

import gzip
from typing import Any

import numpy as np
import pytest

from bench.results.arms import arms
from bench.results.leaks import (
    InHalves,
    can_be_parted,
    is_measured,
    judges_of,
    leak_rule,
    leaks,
    likeness,
    likeness_in_halves,
    likeness_of_pictures,
)
from bench.results.record import Record
from bench.results.standard import PROTOCOLS
from leaderboard.review.recompute import scores
from tests.support.contexts import ROOT
from tests.support.plain_records import record

ONE = [0.9, 0.2, None, 0.5]
TWO = [0.1, 0.45, None, 0.2]
ENDS = {"stranger.one": 0.0, "own.one": 0.8, "stranger.two": 0.2, "own.two": 0.6}
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


def pictures(*cosines: tuple[float | None, float | None], prompts: int = 1) -> Record:
    """Of equally many pictures a prompt, prompt by prompt."""
    each = len(cosines) // prompts
    images: list[dict[str, Any]] = [
        {
            "prompt": number // each,
            "image": number % each,
            "noise_seed": number,
            "faces": 0 if one is None else 1,
            "similarity": one,
            "similarities": {"one": one, "two": two},
            "sha256": "ab",
        }
        for number, (one, two) in enumerate(cosines)
    ]
    made = record(thresholds=ENDS, images=images)
    return made.model_copy(update={"metrics": {"likeness": likeness(made)}, "provenance": {"protocol": {"version": 2}}})


def test_likeness_of_pictures_is_the_mean_of_the_judges_on_their_scales() -> None:
    """By hand: half of one's scale and all of two's; less than strangers, and no face."""
    found = pictures((0.4, 0.6), (-0.4, 0.4), (None, None))
    assert likeness_of_pictures(found) == pytest.approx(np.array([0.75, 0.25, 0.0]))
    assert likeness(found) == pytest.approx(1 / 3)


def test_halves_are_every_other_picture_of_each_prompt() -> None:
    high, low = (0.8, 0.6), (0.0, 0.2)
    assert likeness_in_halves(pictures(high, low, high, low)) == pytest.approx(InHalves(0.5, 1.0, 0.0))
    assert likeness_in_halves(pictures(high, low, low, high, prompts=2)) == pytest.approx(InHalves(0.5, 1.0, 0.0))
    assert likeness_in_halves(pictures(high, high, low, low, prompts=2)) == pytest.approx(InHalves(0.5, 0.5, 0.5))
    assert likeness_in_halves(pictures(high, low, prompts=2)) == pytest.approx(InHalves(0.5, 1.0, 0.0))


def test_what_cannot_be_parted_is_its_own_halves() -> None:
    """One picture; and protocol 1, which does not state the scales."""
    assert not can_be_parted(alone := pictures((0.4, 0.4)))
    assert likeness_in_halves(alone) == pytest.approx(InHalves(0.5, 0.5, 0.5))
    old = record(ilr=0.25, metrics={"ism_calibrated": 0.25}, thresholds={"ilr": 0.5}, provenance={})
    assert not can_be_parted(old)
    assert likeness_in_halves(old) == InHalves(0.25, 0.25, 0.25)
    assert likeness_in_halves(record(metrics={}, images=[], status="skipped", reason="no files")) is None


def test_the_rule_is_told_from_what_a_record_states() -> None:
    assert leak_rule(second().thresholds) == (
        "one or two recognises the person, each as 0.5% of the world's faces would pass"
    )
    witnessed = {"ilr": 0.5, "far": 0.01, "pairs": 240.0, "ilr.buffalo_l": 0.3, "pairs.buffalo_l": 240.0}
    assert leak_rule(witnessed) == "judge: similarity >= 0.50, where 1.0% of strangers pass, 240 pairs"
    assert "do not state" in leak_rule({"ilr": 0.5})
