"""Fits that share a pass: the same cells with the same bits, whoever is fitted beside, and nobody lost with another."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from attacks import Artifact, FitContext
from attacks.textual_inversion import TextualInversion
from bench.config.compose import settings_of
from bench.models.diffusion.model_cache import Pool
from bench.results.record import Record
from bench.runner.groups import groups
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell, cells, load_data
from bench.runner.workers import _next
from bench.store import Store
from tests.support.plans import planned
from tests.support.plugins import forget_plugins
from tests.support.runs import BROKEN, small_run

WORD = ["suite.defenses=[none,noise]", "attack=textual_inversion", "attack.vectors=1", "fits_together=3"]


Fits = dict[tuple[str, str, str], Record]


def fits(records: list[Record]) -> Fits:
    return {(r.identity, r.defense.name, r.attack.name): r for r in records if r.attack.name != "none"}


def made(store: Path, *words: str) -> tuple[Pipeline, list[Cell]]:
    """A run that has not begun, and its cells."""
    settings, pool = settings_of(words), Pool("cpu")
    data = load_data(settings)
    return Pipeline(settings, data, Store(store), pool), cells(settings, data, pool)


def test_groups_are_of_one_attack_one_base_and_as_many_photos() -> None:
    words = ["suite.defenses=[none,noise]", "suite.attacks=[lora,textual_inversion,dreambooth]", "data.limit=3"]
    plan = planned(*words)
    batches = {tuple(cell.label for cell in batch) for batch in groups(plan, 4).values()}
    assert {len(batch) for batch in batches} == {4, 2}
    assert len(batches) == 4
    for batch in batches:
        assert len({label.rpartition(", ")[2] for label in batch}) == 1
        assert not any("dreambooth" in label or "base" in label for label in batch)
    assert len(groups(plan, 4)) == 12
    assert groups(plan, 1) == {}


def test_the_number_is_in_the_key_of_what_is_fitted_together_and_nowhere_else(tmp_path: Path) -> None:
    words = ["suite.defenses=[noise]", "suite.attacks=[lora,dreambooth]", "data.limit=1"]

    def keys(*more: str) -> list[dict[str, str]]:
        pipeline, plan = made(tmp_path, *words, *more)
        return [pipeline.outputs(cell) for cell in plan]

    alone, one, four, eight = keys(), keys("fits_together=1"), keys("fits_together=4"), keys("fits_together=8")
    assert alone == one
    base, lora, dreambooth = four
    assert (base, dreambooth) == (alone[0], alone[2])
    assert (lora["protect"], lora["counter"]) == (alone[1]["protect"], alone[1]["counter"])
    assert len({each[1]["fit"] for each in (alone, four, eight)}) == 3


def test_no_worker_waits_for_a_fit_that_another_one_makes_with_its_own(tmp_path: Path) -> None:
    pipeline, plan = made(tmp_path, "suite.defenses=[none,noise]", "attack=lora", "data.limit=2", "fits_together=3")
    pipeline.group(plan)
    outputs = [pipeline.outputs(cell) for cell in plan]
    assert [cell.attack.name for cell in plan] == ["none", "lora", "lora", "none", "lora", "lora"]
    making = [pipeline.making(plan[1])]
    assert _next([2, 4, 5], making, outputs, pipeline.store) == 5, "it is in the next batch"
    for stage in ("protect", "counter", "fit"):
        assert _next([2, 4], making, outputs, pipeline.store) is None
        pipeline.store.compute(stage, outputs[4][stage], lambda folder: None)
    assert _next([2, 4], making, outputs, pipeline.store) == 4, "to make its pictures"


def test_the_first_of_a_batch_has_the_time_of_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pipeline, plan = made(tmp_path, "attack=lora", "data.limit=1", "fits_together=4", "timeout=10")
    limits: list[float | None] = []

    def noted(limit: float | None) -> Any:
        limits.append(limit)
        raise KeyboardInterrupt

    monkeypatch.setattr("bench.runner.pipeline.deadline", noted)
    monkeypatch.setattr(Pipeline, "problem", lambda *_: None)
    for grouped in (False, True):
        if grouped:
            pipeline.group(plan)
        for cell in plan[:2]:
            with pytest.raises(KeyboardInterrupt):
                pipeline.run(cell, lambda *_: None)
    assert [cell.attack.name for cell in plan] == ["none", "lora", "lora", "lora"]
    assert limits == [10, 10, 10, 30], "the base is in no batch"


@pytest.fixture(scope="module")
def both(tmp_path_factory: pytest.TempPathFactory) -> Fits:
    """Two people with two cells each: a group of three, and one of one."""
    status, records, _ = small_run(tmp_path_factory.mktemp("both"), *WORD, "data.limit=2")
    assert status == 0
    return fits(records)


def test_a_record_says_how_many_were_fitted_together(both: Fits) -> None:
    facts = [record.stages["fit"] for record in both.values()]
    assert sorted((each.together, each.places) for each in facts) == [(1, 3), (3, 3), (3, 3), (3, 3)]
    assert len({each.seconds for each in facts if each.together == 3}) == 1
    steps = {"plain": 0, "inputs": 2 * 2, "weights": 0}
    assert all(each.passes and each.passes["unet"] == steps for each in facts), "as one that is fitted alone"
    assert all(record.stages["generate"].together == 1 for record in both.values())


def test_an_interrupted_group_goes_on_and_the_bits_are_the_same_whoever_is_beside(
    both: Fits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fitted = spied(monkeypatch)
    with monkeypatch.context() as stopped:
        stopped.setattr(TextualInversion, "generate", interrupt)
        with pytest.raises(KeyboardInterrupt):
            small_run(tmp_path, *WORD)
    assert fitted == [3], "two, and an empty place"
    assert fits(small_run(tmp_path, *WORD)[1]).keys() < both.keys()
    assert fitted == [3], "both were in the store"

    found = fits(small_run(tmp_path, *WORD, "data.limit=2")[1])
    assert [record.stages["fit"].together for record in found.values()] == [2] * 4
    assert {cell: record.images for cell, record in found.items()} == {c: record.images for c, record in both.items()}
    assert {cell: record.metrics for cell, record in found.items()} == {c: record.metrics for c, record in both.items()}

    alone = fits(small_run(tmp_path, *WORD, "fits_together=1")[1])
    first = next(iter(alone))
    assert alone[first].cell == found[first].cell, "the same cell, by other last digits"
    assert alone[first].stages["fit"].key != found[first].stages["fit"].key
    assert alone[first].stages["fit"].passes == found[first].stages["fit"].passes
    assert alone[first].metrics["likeness"] == pytest.approx(found[first].metrics["likeness"], abs=0.02)


def test_who_diverges_or_has_no_cloak_costs_nobody_else(
    both: Fits, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    forget_plugins(monkeypatch)
    (tmp_path / "broken.py").write_text(BROKEN)
    fitted = spied(monkeypatch, spoilt=0)
    own = ["suite.defenses=[none,broken,noise]", f"plugins=[{tmp_path / 'broken.py'}]", "suite.budgets=[8]"]
    status, records, _ = small_run(tmp_path, *WORD[1:], *own)
    found = {cell[1]: record for cell, record in fits(records).items()}
    assert status == 1
    assert {name: record.status for name, record in found.items()} == {
        "none": "ok",
        "broken": "failed",
        "noise": "failed",
    }
    assert "budget" in found["broken"].reason
    assert "diverged" in found["noise"].reason
    assert found["none"].images == both[found["none"].identity, "none", "textual_inversion"].images
    assert fitted == [3, 3], "the one that diverged has tried again by itself"


def spied(monkeypatch: pytest.MonkeyPatch, spoilt: int | None = None) -> list[int]:
    """How many places each pass has had; the result of one of them is no number."""
    fitted: list[int] = []
    whole = TextualInversion.fit_many

    def fit_many(self: TextualInversion, photos: Sequence[Tensor], contexts: Sequence[FitContext]) -> list[Artifact]:
        fitted.append(len(photos))
        made = whole(self, photos, contexts)
        for place, artifact in enumerate(made):
            if place == spoilt:
                next(iter(artifact.values())).fill_(float("nan"))
        return made

    monkeypatch.setattr(TextualInversion, "fit_many", fit_many)
    return fitted


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt
