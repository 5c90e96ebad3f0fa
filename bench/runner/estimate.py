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
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell

STAGES = ("surrogate", "protect", "counter", "fit", "generate", "measure")
LATEST = 5000
"""Records that are looked at, the newest."""

PIXEL = 2
"""Bytes of a pixel as PNG (at 128 px 1.4 of generated pictures, 2.2 of photos cloaked at 16/255)."""

Kind = tuple[str, str, str]
"""Outputs that cost alike: their stage, the base, and the methods that made them, with their settings or without."""

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
        history: what outputs take, as `remembered` tells it.
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
            left.append(next((history[kind] for kind in kinds if kind in history), None))
    return [
        Row(*group, stored[group], len(left), sum(s for s in left if s is not None), left.count(None))
        for group, left in sorted(groups.items(), key=lambda item: STAGES.index(item[0][0]))
    ]


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
    """Median seconds of outputs of every kind, in the records of all runs of a folder."""
    seconds: dict[Kind, dict[str, float]] = defaultdict(dict)
    files = sorted(runs.glob("*/cells/[!.]*.json"), key=lambda file: file.stat().st_mtime, reverse=True)
    for record in _readable(files[:LATEST]):
        for stage, facts in record["stages"].items():
            others = record["countermeasure"] if stage == "counter" else [record["attack"]]
            chosen = [record["defense"]] if stage in CLOAK else others
            methods = [(method["name"], method["config"]) for method in chosen]
            for kind in _kinds(stage, record["base"], methods):
                seconds[kind][facts["key"]] = facts["seconds"]
    return {kind: median(by_key.values()) for kind, by_key in seconds.items()}


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
