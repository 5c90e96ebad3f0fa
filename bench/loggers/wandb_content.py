"""What W&B is told of a cell and of a whole run, as plain values."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Container, Mapping
from dataclasses import dataclass
from statistics import fmean
from typing import Any

from bench.report.analysis import RunAnalysis
from bench.report.comparisons import LONG
from bench.results.labels import cell_label
from bench.results.record import Record
from bench.results.rows import Value, costs, row
from bench.stats import summary, table


@dataclass(frozen=True)
class Grid:
    """A table: its columns, and rows of as many values."""

    columns: list[str]
    rows: list[list[Any]]


def config(record: Record) -> dict[str, Any]:
    """What the cell is and where it comes from: the record without results and without the long list of packages."""
    facts = record.model_dump(exclude={"metrics", "stages", "images"})
    facts["provenance"] = {key: value for key, value in record.provenance.items() if key != "packages"}
    return facts


def outcome(record: Record) -> dict[str, Value]:
    """Status, metrics that exist (the config says why others do not), and what the stages cost."""
    metrics = {name: value for name, value in record.metrics.items() if value is not None}
    return {"status": record.status, **metrics, **costs(record)}


LIVE = ("likeness", "ilr")
"""Metrics of a cell that a run shows while it goes on."""


def progress(record: Record, statuses: Mapping[str, int]) -> dict[str, Value]:
    """A step of a run that goes on: how many cells have ended how, and what the last one says and took."""
    counts: dict[str, Value] = {f"cells/{status}": count for status, count in statuses.items()}
    last = {f"cell/{name}": value for name in LIVE if (value := record.metric(name)) is not None}
    seconds = sum(facts.seconds for facts in record.stages.values() if not facts.cached)
    return (
        counts
        | {"cells/done": sum(statuses.values()), "cell/title": cell_label(record), "cell/seconds": seconds}
        | last
    )


def images(record: Record) -> Grid:
    """One row per generated picture. Prompts are told as text where the record has it."""
    prompts = record.provenance.get("protocol", {}).get("prompts", [])
    rows = [
        # Tables hold doubles, and a noise seed has more digits: as text it stays exact.
        [prompts[i.prompt] if i.prompt < len(prompts) else str(i.prompt), i.image, str(i.noise_seed), i.faces, s]
        for i in record.images
        for s in [i.similarity]
    ]
    return Grid(["prompt", "image", "noise_seed", "faces", "similarity"], rows)


def run_outcome(analysis: RunAnalysis, defense: str, cells: Container[str] | None = None) -> dict[str, Value]:
    """Cells by status, every arm's mean scores as `<metric>/<arm>`, and those of the run's own defense as `<metric>`.

    The latter have the same name in every run, so a sweep can search for the best; they are of the command's own
    `cells` alone, whatever else its folder holds.
    """
    statuses = Counter(record.status for record in analysis.records)
    values: dict[str, Value] = {f"cells/{status}": count for status, count in statuses.items()}
    mine = [r for r in analysis.records if (cells is None or r.cell in cells) and r.defense.name == defense]
    mine = [r for r in mine if r.attack.name != "none"]
    for metric in LONG:
        means = {arm.label: arm.mean(metric) for arm in analysis.arms}
        values |= {f"{metric}/{label}": mean for label, mean in means.items() if mean is not None}
        own = [value for r in mine if (value := r.metric(metric)) is not None]
        values |= {metric: fmean(own)} if own else {}
    return values


def run_tables(analysis: RunAnalysis) -> dict[str, Grid]:
    """Name -> table: all cells, the scores person by person, and the tiers of every attack and of the worst."""
    rows = [row(record) for record in analysis.records]
    columns = list(dict.fromkeys(name for line in rows for name in line))
    grids = {
        "cells": Grid(columns, [[line.get(name) for name in columns] for line in rows]),
        "scores": Grid(list(table.COLUMNS), [list(line) for line in analysis.long_form()]),
    }
    for compared in analysis.comparisons:
        lines = summary.rows(compared.scores, compared.judged, compared.order)
        name = re.sub(r"\W+", "_", compared.attack).strip("_")  # it becomes a file's
        grids[f"tiers_{name}"] = Grid(list(summary.COLUMNS), [list(line) for line in lines])
    return grids
