"""What a dry run says a run would take: every output once, at the price of the same work before."""

from __future__ import annotations

from collections.abc import Iterable
from io import StringIO
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from rich.console import Console

from bench.results import record as records
from bench.runner.estimate import Row, estimate, remembered, table
from bench.runner.pipeline import Keys
from bench.runner.plan import Cell, facts_of
from tests.support.plain_records import defense, record
from tests.support.plans import planned

ONE = "data.limit=1"


def pipeline(stored: Iterable[tuple[str, str]] = ()) -> Any:
    """Its keys are what people call things, so one can tell by hand which outputs cells share."""

    def keys(cell: Cell) -> Keys:
        cloak = f"{cell.identity.name} {cell.defense.name} {cell.budget.levels:g}"
        fit = f"{cloak} {cell.attack.name}" if cell.attack.name != "none" else "base"
        return Keys(cloak, cloak, fit, fit, fit)

    have = set(stored)
    store = SimpleNamespace(cost=lambda stage, key: object() if (stage, key) in have else None)
    return SimpleNamespace(outputs=lambda cell: {} if cell.skip else vars(keys(cell)), store=store)


def by_name(rows: list[Row]) -> dict[tuple[str, str], Row]:
    return {(row.stage, row.names): row for row in rows}


def test_an_output_that_cells_share_counts_once_and_what_is_stored_takes_nothing() -> None:
    cells = planned("suite.defenses=[none,noise]", "suite.attacks=[dreambooth,lora]", "suite.budgets=[4,8]", ONE)
    person = cells[0].identity.name
    base = cells[0].model.name
    history = {("protect", base, "noise"): 2.0, ("fit", base, "lora"): 30.0}
    rows = by_name(estimate(cells, pipeline([("protect", f"{person} noise 8")]), history))
    assert rows["protect", "none"] == Row("protect", "none", 0, 1, 0, 1)
    assert rows["protect", "noise"] == Row("protect", "noise", 1, 1, 2.0, 0)
    assert rows["fit", "lora"] == Row("fit", "lora", 0, 3, 90.0, 0)
    assert rows["fit", "dreambooth"] == Row("fit", "dreambooth", 0, 3, 0, 3)
    assert rows["fit", "none"].left == 1


def test_skipped_cells_cost_nothing() -> None:
    cells = planned("suite.defenses=[none]", "suite.attacks=[{name: ip_adapter, weights: /nowhere}]", ONE)
    assert {row.names for row in estimate(cells, pipeline(), {})} == {"none"}


def save(folder: Path, person: str, seconds: float, key: str, **settings: Any) -> None:
    stage = {"seconds": seconds, "peak_mb": 1.0, "key": key, "cached": False}
    made = record(person, 0.5, defense={**defense("noise", 8.0), "config": settings}, stages={"protect": stage})
    records.save(made.model_copy(update={"cell": f"{person}{key}".ljust(64, "0")}), folder / "cells")


def test_work_is_remembered_by_its_settings_and_else_by_its_name(tmp_path: Path) -> None:
    save(tmp_path / "a", "p", 10.0, "k1", steps=5)
    save(tmp_path / "a", "q", 14.0, "k2", steps=5)
    save(tmp_path / "b", "p", 100.0, "k3", steps=50)
    save(tmp_path / "b", "q", 100.0, "k3", steps=50)  # the same output: one observation
    (tmp_path / "b" / "cells" / "broken.json").write_text("{")
    history = remembered(tmp_path)
    (base,) = {base for _, base, _ in history}
    assert history["protect", base, "noise"] == 14.0
    assert history["protect", base, 'noise [{"steps": 5}]'] == 12.0
    assert history["protect", base, 'noise [{"steps": 50}]'] == 100.0
    assert remembered(tmp_path / "nothing") == {}


def test_settings_decide_before_names() -> None:
    cells = planned("suite.defenses=[noise]", "suite.attacks=[lora]", ONE)
    base = cells[0].model.name
    history = {("protect", base, "noise"): 1.0, ("protect", base, "noise [{}]"): 7.0}
    assert by_name(estimate(cells, pipeline(), history))["protect", "noise"].seconds == 7.0


def test_pictures_cost_by_their_number_and_by_sampler_steps(tmp_path: Path) -> None:
    """8 seconds for two pictures of two steps are 640 for sixteen of twenty; of their scores, 64."""
    cells = planned("suite.defenses=[none]", "suite.attacks=[lora]", "model.steps=20", ONE)
    base = cells[0].model.name
    stage = {"seconds": 8.0, "peak_mb": 1.0, "key": "k", "cached": False}
    stages = {"generate": stage, "measure": stage}
    made = record("p", 0.5, attack={"name": "lora", "config": {}}, base=base, stages=stages)
    short = made.model_copy(update={"model": facts_of(cells[0].model).model_copy(update={"steps": 2})})
    records.save(short, tmp_path / "a" / "cells")
    assert (len(short.images), len(cells[0].protocol.asked), cells[0].model.steps) == (2, 16, 20)
    rows = by_name(estimate(cells, pipeline(), remembered(tmp_path)))
    assert rows["generate", "lora"].seconds == 640
    assert rows["measure", "lora"].seconds == 64


def test_a_cloak_that_nobody_timed_takes_what_its_effort_does(tmp_path: Path) -> None:
    """80 samples of another cloak took 40 seconds: half a second each, of four photos."""
    cells = planned("suite.defenses=[mist,noise]", "suite.attacks=[lora]", ONE)
    passes = {"unet": {"plain": 20, "inputs": 60, "weights": 0}, "encoder": {"inputs": 999}}
    stage = {"seconds": 40.0, "peak_mb": 1.0, "key": "k", "cached": False, "passes": passes}
    timed = record("p", 0.5, defense=defense("sds", 8.0), base=cells[0].model.name, stages={"protect": stage})
    records.save(timed, tmp_path / "a" / "cells")
    rows = by_name(estimate(cells, pipeline(), remembered(tmp_path)))
    (mist,) = {c.defense.instance.effort for c in cells if c.defense.name == "mist"}
    assert mist
    assert rows["protect", "mist"].seconds == 0.5 * 4 * mist
    assert rows["protect", "noise"].unknown == 1, "it has no loop"


def test_the_table_says_what_it_does_not_know() -> None:
    rows = [
        Row("protect", "noise", 2, 0, 0, 0),
        Row("fit", "lora", 0, 3, 90.0, 0),
        Row("fit", "dreambooth", 0, 2, 60.0, 1),
        Row("generate", "lora", 0, 2, 0.0, 2),
    ]
    console = Console(file=(text := StringIO()), width=100)
    console.print(table(rows))
    lines = {
        " ".join(line.split()[:2]): " ".join(line.split()) for line in text.getvalue().splitlines() if line.strip()
    }
    assert lines["protect noise"] == "protect noise 2 0 -"
    assert lines["fit lora"] == "fit lora 0 3 0:01:30"
    assert lines["fit dreambooth"] == "fit dreambooth 0 2 more than 0:01:00"
    assert lines["generate lora"] == "generate lora 0 2 ?"
    assert lines["all 2"] == "all 2 7 more than 0:02:30"
