"""A suite goes on without what is not on this machine, says so, and makes up for it later."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.models.diffusion.loading import load_base
from bench.models.weights.checkpoint import locate
from bench.report.analysis import RunAnalysis
from bench.report.comparisons import WORST
from bench.report.sanity_checks import findings
from bench.results import record as records
from bench.zoo.train.adapter import save_groups
from bench.zoo.train.ip_adapter import fresh
from tests.support import tiny
from tests.support.plain_records import record
from tests.support.plans import planned
from tests.support.runs import small_run
from tests.support.two_attacks import THRESHOLDS
from tests.support.two_attacks import run as two_attacks

ABSENT = "{name: ip_adapter, weights: /nowhere/adapter}"


def test_a_suite_skips_what_lacks_files_and_keeps_the_rest() -> None:
    found = planned("suite.defenses=[none]", f"suite.attacks=[lora,{ABSENT}]", "data.limit=1")
    assert [(c.attack.name, bool(c.skip)) for c in found] == [("none", False), ("lora", False), ("ip_adapter", True)]
    assert "/nowhere/adapter" in found[-1].skip
    assert "\n" not in found[-1].skip
    assert len({c.id for c in found}) == 3


def test_a_part_on_a_base_that_is_not_here_is_skipped() -> None:
    other = "{name: facelet-9, family: facelet, resolution: ${model.resolution}}"
    found = planned(f"+suite.parts={{other: {{defenses: [none], attacks: [lora], model: {other}}}}}", "data.limit=1")
    assert [(c.attack.name, "facelet-9" in c.skip) for c in found] == [("none", True), ("lora", True)]


def test_what_was_asked_for_by_itself_is_an_error() -> None:
    with pytest.raises(BenchError, match="/nowhere/adapter"):
        planned("attack=ip_adapter", "attack.weights=/nowhere/adapter", "data.limit=1")


def test_typing_errors_are_never_skipped() -> None:
    with pytest.raises(BenchError, match="dreambooht"):
        planned("suite.defenses=[none]", "suite.attacks=[lora,dreambooht]", "data.limit=1")


def test_skipped_cells_are_recorded_and_made_up_for_when_the_files_are_there(tmp_path: Path) -> None:
    weights = tmp_path / "adapter"
    words = ("suite.defenses=[none]", f"suite.attacks=[{{name: ip_adapter, weights: '{weights}'}}]")
    status, found, text = small_run(tmp_path, *words)
    assert status == 1
    assert sorted(r.status for r in found) == ["ok", "skipped"]
    assert "1 of 2 cells were skipped" in text
    layout = fresh(load_base(locate("facelet-1", "zoo")).unet, 32, faceid=False, rank=0)
    save_groups(weights / "ip-adapter.safetensors", **layout)
    tiny.vision_tower(32, 0).save_pretrained(weights / "image_encoder")
    status, found, text = small_run(tmp_path, *words)
    assert status == 0, text
    assert sorted((r.attack.name, r.status) for r in found) == [("ip_adapter", "ok"), ("none", "ok")]
    assert "were skipped" not in text


def test_an_attack_that_was_skipped_takes_nobodys_worst_attack_away() -> None:
    skipped = [
        r.model_copy(update={"status": "skipped", "reason": "no weights", "metrics": {}})
        for r in two_attacks()
        if r.attack.name == "lora"
    ]
    extra = [r.model_copy(update={"attack": r.attack.model_copy(update={"name": "instantid"})}) for r in skipped]
    before, after = RunAnalysis(two_attacks()).comparisons, RunAnalysis([*two_attacks(), *extra]).comparisons
    assert [s.attack for s in after] == [s.attack for s in before] == ["dreambooth", "lora", WORST]
    np.testing.assert_array_equal(after[-1].scores.values, before[-1].scores.values)
    assert RunAnalysis([*two_attacks(), *extra]).attacker_choices == RunAnalysis(two_attacks()).attacker_choices
    (line,) = [str(f) for f in findings(RunAnalysis([*two_attacks(), *extra])) if "skipped" in str(f)]
    assert "36 of 108 cells were skipped: no weights" in line


def test_a_record_is_discarded_by_its_cell(tmp_path: Path) -> None:
    skipped = record("Ada Lovelace/2", 0.5, thresholds=THRESHOLDS).model_copy(update={"cell": "a" * 64})
    done, other = (skipped.model_copy(update={"cell": letter * 64}) for letter in "bc")
    for each in (skipped, done, other):
        records.save(each, tmp_path)
    for _ in range(2):  # there need not be one
        records.discard(done, tmp_path, skipped.cell)
    assert {records.load(path).cell for path in tmp_path.iterdir()} == {done.cell, other.cell}
