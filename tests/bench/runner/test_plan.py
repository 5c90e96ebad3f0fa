"""Suites: which cells they are made of, and the control "another person"."""

from __future__ import annotations

from io import StringIO
from pathlib import Path
from typing import Any

import pytest
from hydra import compose, initialize_config_module
from omegaconf import OmegaConf
from rich.console import Console

from bench.core.errors import BenchError
from bench.report.analysis import RunAnalysis
from bench.report.summary_table import table
from bench.results.arms import arms
from bench.results.record import MethodFacts
from bench.runner.plan import Cell
from tests.support.plans import planned
from tests.support.runs import small_run

TWO = "suite.attacks=[dreambooth,{name: lora, rank: 2, steps: 1}]"


def test_a_suite_is_the_product_of_its_lists_with_the_base_once() -> None:
    found = planned("suite=validity", TWO, "data.limit=2")
    assert [(c.identity.name, c.photo_source.name, c.defense.name, c.attack.name) for c in found] == [
        ("p01", "p01", "none", "none"),
        ("p01", "p02", "none", "dreambooth"),
        ("p01", "p02", "none", "lora"),
        ("p01", "p01", "none", "dreambooth"),
        ("p01", "p01", "none", "lora"),
        ("p02", "p02", "none", "none"),
        ("p02", "p03", "none", "dreambooth"),
        ("p02", "p03", "none", "lora"),
        ("p02", "p02", "none", "dreambooth"),
        ("p02", "p02", "none", "lora"),
    ]
    assert {c.attack.settings["rank"] for c in found if c.attack.name == "lora"} == {2}
    assert len({c.id for c in found}) == len(found)


def test_the_last_person_is_given_the_photos_of_the_first() -> None:
    found = planned("suite=validity", TWO, "data.limit=0")
    assert {(c.identity.name, c.photo_source.name) for c in found} >= {(found[-1].identity.name, "p01")}


def test_an_unknown_attack_in_a_suite_is_named() -> None:
    with pytest.raises(BenchError, match="dreambooht"):
        planned("suite=validity", "suite.attacks=[dreambooht]")


def test_another_person_costs_nothing_where_that_person_is_in_the_run(tmp_path: Path) -> None:
    quick = "suite.attacks=[{name: dreambooth, steps: 2, batch: 2}]"
    status, records, text = small_run(tmp_path, "suite=validity", quick, "data.limit=2")
    assert status == 0
    by_arm = {(r.identity, r.photos_of, r.attack.name): r for r in records}
    other, own = by_arm["p01", "p02", "dreambooth"], by_arm["p02", "p02", "dreambooth"]
    assert other.stages["generate"].key == own.stages["generate"].key
    assert [image.sha256 for image in other.images] == [image.sha256 for image in own.images]
    assert other.metrics["ism_zero"] != own.metrics["ism_zero"]  # the same pictures, held against another person
    assert [arm.label for arm in arms(records)] == ["base", "another person", "clean"]
    assert "another person" in text


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
    for shown in (run, suite):
        text = StringIO()
        Console(file=text, width=80).print(table(RunAnalysis(shown)))
        assert "…" not in text.getvalue()
        assert all(len(line.rstrip()) <= 80 for line in text.getvalue().splitlines())
        assert "ILR" in text.getvalue()


def test_one_person_has_nobody_to_be_confused_with(tmp_path: Path) -> None:
    person = tmp_path / "only"
    for part in "ABC":
        (person / f"set_{part}").mkdir(parents=True)
        for index in range(4):
            source = Path("bench/zoo/synthetic/p01") / f"set_{part}" / f"{index:02}.png"
            (person / f"set_{part}" / source.name).write_bytes(source.read_bytes())
    with pytest.raises(BenchError, match="at least two people"):
        planned("suite=validity", TWO, "data=folder", f"data.root={tmp_path}", "data.crop=centre")


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
