"""All that is said of a run rests on one analysis: nothing is grouped, derived or compared twice."""

from __future__ import annotations

import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from bench.loggers.wandb_content import run_outcome, run_tables
from bench.report import document, summary_table, tables
from bench.report.analysis import RunAnalysis
from bench.report.remarks import remarks
from bench.results.arms import arms
from bench.results.relative import with_derived
from bench.stats.rule import judge
from tests.support.two_attacks import LEAKS, run

COUNTED = {function.__code__: function.__name__ for function in (arms, with_derived, judge)}


@pytest.fixture
def calls() -> Any:
    """How often each of these functions has been called, by whatever name its caller knows it."""
    counts: Counter[str] = Counter()

    def note(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code in COUNTED:
            counts[COUNTED[frame.f_code]] += 1

    sys.setprofile(note)
    yield counts
    sys.setprofile(None)


def test_a_report_computes_everything_once(calls: Counter[str], tmp_path: Path) -> None:
    analysis = RunAnalysis(run())
    document.save(analysis, tmp_path)
    summary_table.table(analysis)
    remarks(analysis)
    tables.entries(analysis)
    analysis.long_form()
    run_tables(analysis)
    run_outcome(analysis, "aspl")
    assert calls == {
        "with_derived": 1,
        "arms": 1 + len(LEAKS),  # those of the table, and those of every attack
        "judge": len(LEAKS) + 1,  # and of the worst attack
    }


def test_nothing_is_computed_before_it_is_asked_for(calls: Counter[str]) -> None:
    assert len(RunAnalysis(run()).records) == len(run())
    assert not calls


def test_labels_tell_apart_what_the_folder_holds() -> None:
    """A command's own records are labelled as beside the others of its folder."""
    few, many = run(), [r.model_copy(update={"base": "sd15", "cell": f"{r.cell}1"}) for r in run()]
    assert {arm.label for arm in RunAnalysis(few).arms} == {
        f"{cloak} + {attack}" for attack in LEAKS for cloak in ("clean", "noise 8/255", "aspl 8/255")
    }
    labels = [arm.label for arm in RunAnalysis(few, among=[*few, *many]).arms]
    assert all(label.endswith("(on facelet-1)") for label in labels)
