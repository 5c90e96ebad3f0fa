"""Spaces of settings: what trials try, and that every space is one of its defense."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from omegaconf import OmegaConf
from pydantic import ValidationError

import bench.tune
from bench.core.registry import build
from bench.tune.space import Space, Span
from defenses import DEFENSES

FILES = sorted(Path(bench.tune.__file__).parent.glob("conf/defense/*.yaml"))


def space_of(file: Path) -> Space:
    return Space.model_validate(OmegaConf.to_container(OmegaConf.load(file)))


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.stem)
def test_every_trial_can_be_and_the_preset_is_in_the_space(file: Path) -> None:
    space = space_of(file)
    cls = DEFENSES.get(space.name)
    assert space.name == file.stem
    assert space.lacking(vars(cls().resolved("facelet"))) == []
    for settings in space.trials(40, seed=0):
        made = build(cls, {**space.fixed, **settings}).resolved("facelet").at_effort(300)
        turns = getattr(made, made.loop)
        nearby = [made.evaluations(each) for each in (turns - 1, turns, turns + 1) if each]
        assert abs(made.evaluations(turns) - 300) == min(abs(each - 300) for each in nearby)


def test_the_methods_of_the_paper_and_its_rivals_have_a_space() -> None:
    assert {file.stem for file in FILES} == {"dladiff", "aspl", "disdiff", "simac", "antidiffusion", "mist"}


def test_trials_are_spread_evenly_and_a_longer_search_begins_like_a_shorter_one() -> None:
    space = Space(name="x", settings={"mode": ["a", "b"], "rate": Span(low=0.01, high=100.0, log=True)})
    some, more = space.trials(5, seed=3), space.trials(65, seed=3)
    assert some == more[:5]
    assert some[0] == {}, "the preset"
    assert space.trials(5, seed=4)[1:] != some[1:]
    assert sum(trial["mode"] == "a" for trial in more[1:]) == 32
    decades = np.histogram([np.log10(trial["rate"]) for trial in more[1:]], bins=4, range=(-2, 2))[0]
    assert decades.tolist() == pytest.approx([16] * 4, abs=2)


def test_whole_numbers_have_equal_chances_from_end_to_end() -> None:
    span = Span(low=1, high=4)
    assert [span.at(share) for share in (0, 0.249, 0.25, 0.5, 0.75, 0.999)] == [1, 1, 2, 3, 4, 4]
    assert [Span(low=1, high=8, log=True).at(share) for share in (0, 0.999)] == [1, 8]
    assert Span(low=1.0, high=2.0).at(1 / 3) == 1.33


@pytest.mark.parametrize("wrong", [{"low": 2, "high": 1}, {"low": 0, "high": 1, "log": True}, {"low": 1}])
def test_a_span_that_is_none_is_refused(wrong: dict[str, float]) -> None:
    with pytest.raises(ValidationError):
        Span.model_validate(wrong)
