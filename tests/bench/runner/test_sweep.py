"""What a job of a sweep lacks, and how many there are, is said before the first begins."""

from __future__ import annotations

from bench.runner.sweep import jobs, lacking

SMALL = ["-m", "logger=none", "data.limit=1", "defense=none", "controls=[none]"]


def test_each_value_that_cannot_run_is_named_with_its_reason() -> None:
    said = dict(lacking([*SMALL, "attack=dreambooth,photomaker", "model.source=zoo,/nowhere", "seed=range(0,50)"]))
    assert said.keys() == {"model.source=/nowhere"}
    assert "there is no such folder" in str(said["model.source=/nowhere"])
    said = dict(lacking([*SMALL, "attack=ip_adapter", "attack.weights=null,/no/weights", "seed=1,2"]))
    assert said.keys() == {"attack.weights=/no/weights"}


def test_a_sweep_that_can_run_is_not_spoken_of_and_one_on_other_machines_is_not_looked_at() -> None:
    assert not list(lacking([*SMALL, "attack=dreambooth,lora", "budget=4,8"]))
    assert not list(lacking([*SMALL, "model.source=zoo,/nowhere", "hydra/launcher=ray"]))


def test_jobs_are_all_combinations() -> None:
    assert jobs([*SMALL, "attack=dreambooth,lora", "budget=4,8", "seed=range(0,3)"]) == 12
    assert jobs([*SMALL, "budget=8"]) == 1
    assert jobs([*SMALL, "budget=4,8", "hydra/sweeper=optuna"]) is None
