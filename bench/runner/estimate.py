"""What a run would do, and what that would take by what the same work took before: `python -m bench dry_run=true`."""

from __future__ import annotations

import datetime
import json
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

from rich import box
from rich.table import Table
from rich.text import Text

from bench.config.resolved_method import ResolvedMethod
from bench.results.record import CLOAK
from bench.results.standard import sampler
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell

STAGES = ("surrogate", "protect", "counter", "fit", "generate", "measure")
LATEST = 5000
"""Records that are looked at, the newest."""

PIXEL = 2
"""Bytes of a pixel as PNG (at 128 px 1.4 of generated pictures, 2.2 of photos cloaked at 16/255)."""

Kind = tuple[str, str, str]
"""Outputs that cost alike: their stage, the base, and the methods that made them, with their settings or without."""

EVALUATION = "a network evaluation"
"""In place of methods: what one takes, by which cloaks are estimated that nobody has timed."""

Named = tuple[str, Mapping[str, Any]]
"""A method's name and settings."""


@dataclass(frozen=True)
class Row:
    """Outputs of one stage and of methods of the same names.

    Attributes:
        stage: which.
        names: of the methods: the defense, the countermeasures, or the attack.
        stored: how many are in the store.
        left: how many are to be made.
        seconds: what those of known cost take together.
        unknown: how many of those left are of unknown cost.
    """

    stage: str
    names: str
    stored: int
    left: int
    seconds: float
    unknown: int


def estimate(planned: Sequence[Cell], pipeline: Pipeline, history: Mapping[Kind, float]) -> list[Row]:
    """Every output once, however many cells share it, by stage.

    Args:
        planned: all cells; those that are skipped cost nothing.
        pipeline: knows what is in the store.
        history: what outputs take, as `remembered` tells it; a cloak that is not in it takes what its effort does.
    """
    groups: dict[tuple[str, str], list[float | None]] = defaultdict(list)  # seconds of each that is left
    stored: dict[tuple[str, str], int] = defaultdict(int)
    for (stage, key), cell in _outputs(planned, pipeline).items():
        methods = [(each.name, each.settings) for each in _methods(stage, cell)]
        group, kinds = (stage, _names(methods)), _kinds(stage, cell.model.name, methods)
        left = groups[group]
        if pipeline.store.cost(stage, key):
            stored[group] += 1
        else:
            left.append(_seconds(stage, cell, kinds, history))
    return [
        Row(*group, stored[group], len(left), sum(s for s in left if s is not None), left.count(None))
        for group, left in sorted(groups.items(), key=lambda item: STAGES.index(item[0][0]))
    ]


def _seconds(stage: str, cell: Cell, kinds: Sequence[Kind], history: Mapping[Kind, float]) -> float | None:
    """What an output takes; None if nothing is known of its like."""
    known = next((history[kind] for kind in kinds if kind in history), None)
    if known is not None:
        return known * _times(stage, len(cell.protocol.asked), cell.model.steps)
    rate, samples = history.get(("protect", cell.model.name, EVALUATION)), _samples(stage, cell)
    return rate * samples if rate is not None and samples else None


def _samples(stage: str, cell: Cell) -> float:
    """About how many samples pass through the networks while a cloak is made; 0 if nobody knows."""
    recipe, effort = cell.pretuning, cell.defense.instance.effort or 0
    learned = recipe.steps * recipe.batch if recipe else 0
    return {"surrogate": learned, "protect": max(0, effort * len(cell.identity.protect) - learned)}.get(stage, 0)


def _times(stage: str, pictures: int, steps: int) -> int:
    """How often an output holds what is remembered of its kind: pictures cost by themselves, and by sampler steps."""
    return {"generate": pictures * steps, "measure": pictures}.get(stage, 1)


def _methods(stage: str, cell: Cell) -> Sequence[ResolvedMethod[Any]]:
    """The methods that make a stage's output."""
    if stage == "counter":
        return cell.countermeasures
    return [cell.defense if stage in CLOAK else cell.attack]


def disk(planned: Sequence[Cell], pipeline: Pipeline) -> int:
    """About how many bytes the pictures to be made take in the store. Weights are thrown away, unless they are kept."""
    asked, total = len(pipeline.settings.protocol.asked), 0
    for (stage, key), cell in _outputs(planned, pipeline).items():
        photos = len(cell.identity.protect)
        count = {"protect": photos, "counter": photos, "generate": asked}.get(stage, 0)
        if count and not pipeline.store.cost(stage, key):
            total += count * cell.model.resolution**2 * PIXEL
    return total


def _outputs(planned: Sequence[Cell], pipeline: Pipeline) -> dict[tuple[str, str], Cell]:
    """(stage, key) of every output, and a cell that needs it."""
    outputs: dict[tuple[str, str], Cell] = {}
    for cell in planned:
        for stage, key in pipeline.outputs(cell).items():
            outputs.setdefault((stage, key), cell)
    return outputs


def remembered(runs: Path) -> dict[Kind, float]:
    """Median seconds of outputs of every kind, in the records of all runs of a folder.

    Of generated pictures it is those of one and one sampler step, of measured ones those of one; and beside the kinds
    there is what a sample's pass through the UNet takes while a cloak is made, as `EVALUATION`.
    """
    seconds: dict[Kind, dict[str, float]] = defaultdict(dict)
    files = sorted(runs.glob("*/cells/[!.]*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for record in _readable(files[:LATEST]):
        for stage, facts in record["stages"].items():
            others = record["countermeasure"] if stage == "counter" else [record["attack"]]
            chosen = [record["defense"]] if stage in CLOAK else others
            methods = [(method["name"], method["config"]) for method in chosen]
            times = _times(stage, len(record["images"]), _steps(record))
            for kind in _kinds(stage, record["base"], methods) if times else ():
                seconds[kind][facts["key"]] = facts["seconds"] / times
            if stage == "protect" and (samples := sum((facts.get("passes") or {}).get("unet", {}).values())):
                seconds[stage, record["base"], EVALUATION][facts["key"]] = facts["seconds"] / samples
    return {kind: median(by_key.values()) for kind, by_key in seconds.items()}


def _steps(record: Mapping[str, Any]) -> int:
    """Sampler steps of a record; where it does not state them, those that its base usually has. 0 if nobody knows."""
    version = (record["provenance"].get("protocol") or {}).get("version", 1)
    return int((record.get("model") or sampler(version, record["base"])).get("steps", 0))


def table(rows: Sequence[Row]) -> Table:
    """The estimate for a terminal; the last line is the sum."""
    made = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in ("stage", "methods", "in the store", "to do", "takes"):
        made.add_column(name, justify="left" if name in ("stage", "methods") else "right", overflow="fold")
    for row in rows:
        counts = str(row.stored), str(row.left), _takes(row.left, row.seconds, row.unknown)
        made.add_row(row.stage, Text(row.names), *counts)
    left, unknown = sum(row.left for row in rows), sum(row.unknown for row in rows)
    seconds = sum(row.seconds for row in rows)
    made.add_section()
    made.add_row("all", "", str(sum(row.stored for row in rows)), str(left), _takes(left, seconds, unknown))
    return made


def _takes(left: int, seconds: float, unknown: int) -> str:
    if not left:
        return "-"
    if unknown == left:
        return "?"
    return f"{'more than ' if unknown else ''}{datetime.timedelta(seconds=round(seconds))}"


def _kinds(stage: str, base: str, methods: Sequence[Named]) -> tuple[Kind, Kind]:
    """With settings, which decide how long it takes, and as a fallback without."""
    settings = json.dumps([settings for _, settings in methods], sort_keys=True)
    return (stage, base, f"{_names(methods)} {settings}"), (stage, base, _names(methods))


def _names(methods: Sequence[Named]) -> str:
    return " + ".join(name for name, _ in methods)


def _readable(files: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for file in files:
        try:
            yield json.loads(file.read_text())
        except (OSError, ValueError):  # being written, or gone meanwhile
            continue
