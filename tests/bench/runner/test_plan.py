"""Suites: which cells they are made of."""

from __future__ import annotations

import dataclasses
from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from rich.console import Console

from attacks import ATTACKS
from bench.config.compose import settings_of
from bench.core.errors import BenchError
from bench.models.diffusion.model_cache import Pool
from bench.report.analysis import RunAnalysis
from bench.report.summary_table import table
from bench.results.record import MethodFacts
from bench.runner.plan import Cell, cells, load_data
from bench.stats.rule import CONTROLS
from defenses import DEFENSES
from tests.support.plans import planned
from tests.support.runs import small_run

TWO = "suite.attacks=[dreambooth,{name: lora, rank: 2, steps: 1}]"


def test_a_suite_is_the_product_of_its_lists_with_the_base_once() -> None:
    found = planned("suite=validity", TWO, "data.limit=2")
    assert [(c.identity.name, c.defense.name, c.attack.name) for c in found] == [
        (person, "none", attack) for person in ("p01", "p02") for attack in ("none", "dreambooth", "lora")
    ]
    assert {c.attack.settings["rank"] for c in found if c.attack.name == "lora"} == {2}
    assert len({c.id for c in found}) == len(found)


def test_an_unknown_attack_in_a_suite_is_named() -> None:
    with pytest.raises(BenchError, match="dreambooht"):
        planned("suite=validity", "suite.attacks=[dreambooht]")


def test_a_source_without_anybody_is_told_so() -> None:
    settings = settings_of([])
    nobody = dataclasses.replace(load_data(settings), identities=(), selected=())
    with pytest.raises(BenchError, match="synthetic has nobody"):
        cells(settings, nobody, Pool("cpu"))


def test_the_table_fits_a_terminal_of_80_columns(tmp_path: Path) -> None:
    """Nothing is cut off, be it a run with its controls or a suite with the longest names."""
    _, records, _ = small_run(tmp_path)
    base = next(r for r in records if r.attack.name == "none")
    clean = next(r for r in records if r.attack.name != "none" and r.defense.name == "none")
    ada = {"identity": "ada", "photos_of": "ada"}
    people = [base, clean, base.model_copy(update=ada), clean.model_copy(update=ada)]
    cloak = clean.defense.model_copy(update={"name": "antidreambooth", "budget": 16.0})
    run = [*people, *(r.model_copy(update={"defense": cloak}) for r in people if r.attack.name != "none")]
    attacks = [clean.attack, MethodFacts(name="textual_inversion", config={})]
    attacks.append(MethodFacts(name="ip_adapter", config={"variant": "faceid"}))
    owners = [{"identity": p, "photos_of": p if own else "bob"} for p in ("ada", "eve") for own in (True, False)]
    suite = [clean.model_copy(update={"attack": a} | who) for a in attacks for who in owners]
    longest = cloak.model_copy(update={"name": "idprotector_pgd"})
    slow = {"protect": clean.stages["protect"].model_copy(update={"seconds": 1234.5})}
    wide = [r.model_copy(update={"defense": longest, "stages": slow}) for r in run if r.defense.name == cloak.name]
    for shown in (run, suite, [*people, *wide]):
        text = StringIO()
        Console(file=text, width=80).print(table(RunAnalysis(shown)))
        assert "…" not in text.getvalue()
        assert all(len(line.rstrip()) <= 80 for line in text.getvalue().splitlines())
        assert "ILR" in text.getvalue()
        assert ("1234.5" in text.getvalue()) == (shown[-1].defense.name == longest.name)


def test_an_option_of_former_suites_is_refused() -> None:
    """False leaks are in every record: there are no cells of another person's photos."""
    with pytest.raises(BenchError, match=r"suite\.another_person"):
        planned("suite=validity", "+suite.another_person=true")


# --- suites of several grids ------------------------------------------------------------------------------------------


def arms_of(found: list[Cell]) -> list[tuple[str, float, str, str]]:
    return [(c.defense.name, c.budget.levels, c.attack.name, c.model.name) for c in found]


def test_a_grid_spreads_its_budgets_over_defenses_that_have_none_of_their_own() -> None:
    doses = "suite.defenses=[none,noise,{name: advdm, budget: 18, steps: 3}]"
    found = planned(doses, "suite.budgets=[4,8]", "data.limit=1", "attack=dreambooth")
    assert arms_of(found) == [
        ("none", 0, "none", "facelet-1"),
        ("none", 0, "dreambooth", "facelet-1"),
        ("noise", 4, "dreambooth", "facelet-1"),
        ("noise", 8, "dreambooth", "facelet-1"),
        ("advdm", 18, "dreambooth", "facelet-1"),
    ]
    assert found[-1].defense.settings["steps"] == 3
    assert "budget" not in found[-1].defense.settings


@pytest.mark.parametrize(("effort", "rounds"), [("preset", 20), ("equal", 25), ("120", 10)])
def test_iterative_cloaks_have_the_effort_that_is_asked_for(effort: str, rounds: int) -> None:
    doses = "suite.defenses=[none,noise,aspl,{name: placebo, of: {name: aspl}}]"
    settings = {c.defense.name: c.defense.settings for c in planned(doses, "data.limit=1", f"effort={effort}")}
    assert settings["aspl"]["rounds"] == rounds
    assert settings["placebo"]["of"]["rounds"] == rounds
    assert "effort" not in settings["noise"]


def test_little_memory_on_a_gpu_wants_bitsandbytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("bench.runner.plan.find_spec", lambda name: None)
    assert planned("+model.memory=low", "data.limit=1"), "on a CPU nothing is kept in 8 bits"
    monkeypatch.setattr(Pool, "device", "cuda")
    assert planned("data.limit=1")
    with pytest.raises(BenchError, match="bitsandbytes, which is not installed"):
        planned("+model.memory=low", "data.limit=1")


@pytest.mark.parametrize("effort", ["0", "same", "2.5", "null"])
def test_an_effort_that_is_none_is_refused(effort: str) -> None:
    with pytest.raises(BenchError, match=r"effort.*\n?.*[Gg]ive preset, equal, or a number"):
        planned(f"effort={effort}")


def test_parts_take_the_place_of_the_suites_own_grid_and_shared_cells_run_once() -> None:
    one = "one:{defenses:[none,noise],attacks:[dreambooth]}"
    two = "two:{defenses:[none,aspl],attacks:[dreambooth,lora]}"
    found = planned(f"+suite.parts={{{one},{two}}}", "data.limit=1", "suite.attacks=[textual_inversion]")
    assert [(c.defense.name, c.attack.name) for c in found] == [
        ("none", "none"),
        ("none", "dreambooth"),
        ("noise", "dreambooth"),
        ("aspl", "dreambooth"),
        ("none", "lora"),
        ("aspl", "lora"),
    ]


def test_parts_can_be_done_alone_and_one_that_is_not_there_is_named() -> None:
    parts = (
        "+suite.parts={one: {defenses: [none], attacks: [lora]}, two: {defenses: [noise], attacks: [lora, dreambooth]}}"
    )
    found = planned(parts, "suite.only=two", "data.limit=1")
    assert [(c.defense.name, c.attack.name) for c in found[1:]] == [("noise", "lora"), ("noise", "dreambooth")]
    assert len(planned(parts, "suite.only=[one,two]", "data.limit=1")) == len(planned(parts, "data.limit=1")) == 4
    with pytest.raises(BenchError, match=r"part of suite=single 'tow'") as caught:
        planned(parts, "suite.only=[one,tow]", "data.limit=1")
    assert "'two'" in caught.value.fix


def test_the_board_has_every_cloak_that_needs_no_download_and_controls_for_all() -> None:
    """Each part by itself can be published, and the whole lacks nothing on a new machine."""
    found = planned("suite=board", "data.limit=1")
    assert not [cell.skip for cell in found if cell.skip]
    cloaks, attacks = (
        {name for name in of.names() if of.is_builtin(name) and not of.get(name).families} for of in (DEFENSES, ATTACKS)
    )
    assert {c.defense.name for c in found} == cloaks - {"aspl", "placebo", "precomputed"}
    assert {c.attack.name for c in found} == attacks
    parts = settings_of(["suite=board"]).suite.parts
    for part in parts:
        cells = planned("suite=board", f"suite.only={part}", "data.limit=1")
        arms = {(str(c.attack), str(c.countermeasures), c.defense.name, c.budget.levels) for c in cells}
        for attack, after, _, budget in [arm for arm in arms if arm[2] not in CONTROLS]:
            assert {(attack, after, "none", 0), (attack, after, "noise", budget)} <= arms, part


def test_a_part_may_attack_another_base_than_the_defender_knows() -> None:
    other = "{name: other, source: zoo, family: facelet, resolution: ${model.resolution}, steps: 5}"
    part = f"+suite.parts={{transfer: {{defenses: [none, aspl], surrogate: {other}}}}}"
    assert "other" in planned(part, "data.limit=1")[-1].skip  # there is no such model; it was looked for
    own = other.replace("name: other", "name: facelet-1")
    cloaked = planned(part.replace(other, own), "data.limit=1")[-1]
    assert [s.steps for s in cloaked.surrogates] == [5]
    assert cloaked.model.steps != 5


def test_models_of_a_suite_share_one_photo_size() -> None:
    other = "{name: facelet-1, family: facelet, resolution: 512, steps: 5}"
    with pytest.raises(BenchError, match="512 px") as caught:
        planned(f"+suite.parts={{a: {{model: {other}}}}}", "data.limit=1")
    assert "one resolution" in caught.value.fix


def test_a_budget_is_not_a_setting_of_an_attack() -> None:
    with pytest.raises(BenchError, match="budget"):
        planned("suite.attacks=[{name: dreambooth, budget: 3}]", "data.limit=1")


def test_a_typo_in_a_part_is_named() -> None:
    with pytest.raises(BenchError, match=r"suite\.parts\.a\.atacks"):
        planned("+suite.parts={a: {atacks: [lora]}}", "data.limit=1")


def test_the_named_grids_are_nested() -> None:
    """What a small one measured, a larger one at the same settings finds in the store."""
    sizes = []
    known: dict[str, set[str]] = {"defenses": set(), "attacks": set()}
    with initialize_config_module("conf", version_base="1.3"):
        for name in ("smoke", "lite", "standard", "full"):
            suite: Any = OmegaConf.to_container(compose("config", [f"suite={name}"]).suite)
            found = {group: {str(method) for method in suite[group]} for group in known}
            assert all(known[group] <= found[group] for group in known), name
            known = found
            budgets, after = suite["budgets"] or [8], suite["countermeasures"] or ["none"]
            assert 8 in budgets, name
            assert "none" in after, name
            sizes.append(len(suite["defenses"]) * len(suite["attacks"]) * len(budgets) * len(after))
    assert sizes == sorted(set(sizes))
