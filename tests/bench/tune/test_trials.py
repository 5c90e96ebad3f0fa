"""What a trial says, who it is made on, and which one wins."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hydra import compose, initialize_config_module

from bench.config.compose import settings_of
from bench.core.errors import BenchError
from bench.tune.__main__ import read, tune
from bench.tune.people import tuning_people
from bench.tune.space import Space
from bench.tune.table import gain, markdown, winner_of
from bench.tune.trials import Trial, summary
from tests.support.boards import record
from tests.support.tuning import write_people

HALVES = {("ann", "dreambooth"): (0.2, 0.4), ("ann", "lora"): (0.4, 0.6), ("bo", "dreambooth"): (0.0, 0.8)}


def settings(*words: str) -> Any:
    with initialize_config_module("bench.tune.conf", version_base=None):
        return compose("tune", [*words])


def trial(number: int, chosen: float, scored: float, **settings: Any) -> Trial:
    """Of three people, who differ by a tenth."""
    first, second = ({"a": value - 0.1, "b": value, "c": value + 0.1} for value in (chosen, scored))
    return Trial(number, settings, first, second, {"dreambooth": (chosen + scored) / 2}, 12.0)


def test_one_half_of_the_pictures_chooses_and_the_other_scores() -> None:
    cells = [record("mine", person, 0.5, attack=attack, halves=pair) for (person, attack), pair in HALVES.items()]
    made = summary(1, {"steps": 3}, cells)
    assert made.chosen_by == pytest.approx({"ann": 0.3, "bo": 0.0})
    assert made.scored_by == pytest.approx({"ann": 0.5, "bo": 0.8})
    assert made.attacks == pytest.approx({"dreambooth": 0.35, "lora": 0.5})
    assert (made.choice, made.score) == pytest.approx((0.15, 0.65)), "every person counts once"


def test_a_cloaks_seconds_count_what_its_surrogate_learned_beforehand() -> None:
    whole = record("mine", "ann", 0.5, halves=(0.2, 0.4))
    stage = whole.stages["protect"]
    learned = whole.model_copy(
        update={"stages": {**whole.stages, "surrogate": stage.model_copy(update={"seconds": 7.0})}}
    )
    assert summary(0, {}, [learned]).seconds == stage.seconds + 7


def test_the_winner_is_scored_by_what_did_not_choose_it() -> None:
    trials = [trial(0, 0.5, 0.5), trial(1, 0.2, 0.4, step=2.0), trial(2, 0.3, 0.1)]
    assert winner_of(trials).number == 1
    assert gain(trials) == "Trial 1 leaves 0.100 less likeness than the preset (0.100 to 0.100, 3 people)."
    lines = markdown("mine", trials).splitlines()
    assert [line.split(" | ")[0] for line in lines[2:5]] == ["| 1", "| 2", "| 0"]
    assert lines[2] == "| 1 | 0.400 | 0.30 | 12 | `step=2.0` |"
    assert "the preset" in lines[4]
    assert gain([trial(0, 0.1, 0.1), trial(1, 0.2, 0.0)]) == "No trial is better than the preset."


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("trials=1", "trials"),
        ("people=none", "people"),
        ("people=25", "people"),
        ("budget=300", "budget"),
        ("attacks=[]", "attacks"),
        ("defense.settings=null", "defense.settings"),
        ("defense.settings.step={low: 2, high: 1}", "low must be below high"),
    ],
)
def test_a_tuning_that_makes_no_sense_is_refused(word: str, said: str) -> None:
    with pytest.raises(BenchError) as caught:
        read(settings("defense=aspl", "data=x.parquet", word))
    assert said in str(caught.value) + caught.value.fix


def test_data_must_be_given() -> None:
    with pytest.raises(BenchError, match="data has no value"):
        read(settings("defense=aspl"))


def test_all_trials_have_the_same_run_but_for_their_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[list[str], Path]] = []

    def evaluate(defense: str, overrides: list[str], out: Path) -> SimpleNamespace:
        asked.append((overrides, out))
        settings_of([f"defense={defense}", *overrides])  # as the run itself reads them
        return SimpleNamespace(
            cells=[record(defense, person, 0.5, halves=(0.2, 0.4)) for person in tuning_people()[:2]]
        )

    monkeypatch.setattr("bench.tune.trials.evaluate", evaluate)
    monkeypatch.setattr("bench.tune.__main__.prepare", lambda data, file: None)
    tuning = read(settings("defense=aspl", "data=x.parquet", f"out={tmp_path}", "people=2", "trials=3", "effort=8"))
    made = tune(tuning)
    assert [trial.settings for trial in made] == tuning.defense.trials(3, seed=0)
    assert [trial.score for trial in made] == pytest.approx([0.4] * 3)
    assert [out.name for _, out in asked] == ["trial-000", "trial-001", "trial-002"]
    (first, *words), *others = (overrides for overrides, _ in asked)
    assert first == "suite.defenses=[{name: 'aspl'}]"
    assert f"data.identities={tuning_people()[:2]}" in words
    assert {"effort=8", "suite.budgets=[16]", "data=parquet"} <= {*words}
    assert all(other[1:] == words and other[0] != first for other in others)


def test_a_trial_with_a_failed_cell_is_no_result(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = SimpleNamespace(cells=[record("aspl", "7213", None)])
    monkeypatch.setattr("bench.tune.trials.evaluate", lambda **_: failed)
    monkeypatch.setattr("bench.tune.__main__.prepare", lambda data, file: None)
    with pytest.raises(BenchError, match="Trial 0: 1 of 1 cells failed, the first: no face found"):
        tune(read(settings("defense=aspl", "data=x.parquet", f"out={tmp_path}", "people=1")))


@pytest.mark.slow
def test_a_whole_tuning_goes_on_from_its_store(tmp_path: Path) -> None:
    """Invented people under the names of those who are kept for tuning."""
    write_people(tmp_path / "people.parquet", [*tuning_people(), "7201"])
    small = ["model.steps=2", "protocol.images_per_prompt=2", "workers=1", "data.crop=centre"]
    small.append(f"store={tmp_path / 'store'}")
    words = [f"data={tmp_path / 'people.parquet'}", f"out={tmp_path / 'tuned'}", "people=1", "trials=2", "effort=8"]
    config = settings("defense=mist", *words, "attacks=[{name: dreambooth, steps: 1, batch: 1}]")
    config.run = small
    tuning = read(config)
    assert isinstance(tuning.defense, Space)
    first = tune(tuning)
    assert [each.settings.keys() for each in first] == [set(), set(tuning.defense.settings)]
    assert [[*each.scored_by] for each in first] == [tuning_people()[:1]] * 2
    runs = sorted(path.name for path in (tmp_path / "tuned/mist").iterdir())
    assert runs == ["trial-000", "trial-001"]
    before = {file: file.stat().st_mtime_ns for file in (tmp_path / "store/protect").rglob("*.png")}
    assert tune(tuning) == first
    assert before == {file: file.stat().st_mtime_ns for file in (tmp_path / "store/protect").rglob("*.png")}
