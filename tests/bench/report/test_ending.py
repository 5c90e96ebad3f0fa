"""What the end of a run and of a sweep says, in which order, and which command it proposes."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.report import ending
from bench.report.analysis import RunAnalysis
from bench.results.manifest import RunManifest
from bench.results.record import Record, save
from tests.support.plain_records import defense, record

STAGE = {"seconds": 10.0, "peak_mb": 1.0, "cached": True}


def run(people: int, cloak: float = 0.1, attack: str = "lora", **facts: Any) -> list[Record]:
    """Clean photos, noise and a cloak; one second a person for the fit and ten for the cloak of each arm."""
    found = []
    for person in (f"p{i}" for i in range(people)):
        for method, leak in ((defense("none", 0), 0.9), (defense("noise"), 0.8), (defense("mine"), cloak)):
            name = f"{method['name']}-{person}-{attack}".ljust(64, "0")
            keys = {"protect": f"{method['name']}-{person}", "fit": name}
            stages = {
                stage: STAGE | {"key": key, "seconds": 10 if stage == "protect" else 1} for stage, key in keys.items()
            }
            more = {"stages": stages, "cell": name, "attack": {"name": attack, "config": {}}, "images": []} | facts
            found.append(record(person, leak, defense=method, **more))
    return found


def plan(
    limit: int = 2, suite: str = "single", words: tuple[str, ...] | None = ("defense=mine", "out=x")
) -> RunManifest:
    settings = {"data": {"name": "synthetic", "settings": {"limit": limit}}, "suite": {"name": suite}}
    return RunManifest(overrides=words, settings=settings, store="", started=0.0, cells=())


def shown(records: list[Record], **more: Any) -> str:
    console = Console(file=io.StringIO(), width=200)
    facts: dict[str, Any] = {"plan": plan(), "logged": ""} | more
    ending.show(RunAnalysis(records), Path("runs/x"), console, **facts)
    return str(console.file.getvalue())  # type: ignore[attr-defined]


def test_the_verdict_is_first_then_the_table_a_caveat_the_files_and_the_next_command() -> None:
    text = shown(run(6), logged="W&B, in runs/x/wandb")
    parts = [
        "Against lora: mine 8/255 beats noise.",
        "FDFR",
        "runs/x/sheet.png",
        "python -m bench.export runs/x -o pictures",
    ]
    places = [text.index(part) for part in [*parts, "runs/x/report.md\n", "W&B, in runs/x/wandb", "next"]]
    assert places == sorted(places)
    assert text.startswith(parts[0])


@pytest.mark.parametrize(
    ("people", "cloak", "said"),
    [
        (6, 0.1, "Against lora: mine 8/255 beats noise."),
        (6, 0.85, "Against lora: mine 8/255 is not shown to beat noise."),
        (2, 0.1, "Against lora: whether mine 8/255 beats noise is undecided: 2 people cannot show it."),
        (1, 0.1, "Nothing: there are no two arms of one attack on two people."),
    ],
)
def test_the_verdict_is_that_of_the_rule(people: int, cloak: float, said: str) -> None:
    assert ending.verdict(RunAnalysis(run(people, cloak))) == said


def test_of_several_attacks_the_verdict_is_on_the_worst() -> None:
    found = RunAnalysis(run(6) + run(6, 0.9, "dreambooth"))
    assert ending.verdict(found) == "Against the worst attack: mine 8/255 is not shown to beat noise."


def step(records: list[Record], **facts: Any) -> str | None:
    return ending.next_step(RunAnalysis(records), plan(**facts), Path("runs/x"))


def test_too_few_people_are_followed_by_as_many_as_can_show_something() -> None:
    """Two people took 2 x 3 x (10 + 1) seconds; seven take five more."""
    assert step(run(2)) == (
        "python -m bench defense=mine data.limit=7\nabout 0:02:45 of computing: 7 people can show a difference"
    )


def test_enough_people_are_followed_by_a_countermeasure_with_the_same_cloaks() -> None:
    for people, seconds in ((6, 18), (8, 24)):
        command, why = (step(run(people), limit=people) or "").split("\n")
        assert command == "python -m bench defense=mine countermeasure=jpeg"
        assert why == f"about 0:00:{seconds} of computing: do the same cloaks hold after JPEG?"


def test_what_has_been_asked_is_not_proposed_again() -> None:
    chain = [{"name": "jpeg", "config": {}}]
    for found in (
        step(run(8, countermeasure=chain), limit=8),
        step(run(8), limit=8, suite="lite"),
        step(run(2), limit=0, suite="lite"),
    ):
        assert found == "python -m bench.stats runs/x/scores.csv\nat once: all that its scores can show"
    assert step(run(2), words=None) is None
    assert step([*run(2), record("p9", None, status="failed", reason="no memory", cell="f" * 64)]) is None


def test_a_sweep_ends_with_one_table_and_every_warning_once(tmp_path: Path) -> None:
    for attack in ("lora", "dreambooth"):
        for one in run(6, attack=attack):
            save(one, tmp_path / attack / "cells")
    console = Console(file=io.StringIO(), width=200)
    outs = [tmp_path / "lora", tmp_path / "dreambooth", tmp_path / "lora", tmp_path / "gone"]
    ending.show_sweep(outs, ["a photo is dark", "a photo is dark"], console)
    text = str(console.file.getvalue())  # type: ignore[attr-defined]
    assert "All jobs of the sweep: 36 cells" in text
    assert text.count("FDFR") == 1
    assert text.count("Warning: a photo is dark") == 1
    assert all(text.count(f"{tmp_path / attack / 'report.md'}") == 1 for attack in ("lora", "dreambooth"))
    warned = [line for line in text.splitlines() if line.startswith(("Warning", "Note", "Error"))]
    assert len(warned) == len(set(warned)) > 0
