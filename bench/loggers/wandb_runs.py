"""Weights & Biases: one run per cell, and one for all of them, in one group.

A cell's run is opened when the cell is done, and closed at once, so that none is ever left open, whatever ends the
process. wandb would return the run before if one were open, and merge the cells of a sweep; hence the explicit ids and
`create_new`. An id is a hash of group and cell: who repeats a command overwrites.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.paths import expanded
from bench.loggers import Logger, Run
from bench.loggers.wandb_content import Grid, config, images, outcome, run_outcome, run_tables
from bench.loggers.wandb_place import logged_in, package, place
from bench.report.analysis import RunAnalysis
from bench.results import manifest
from bench.results.labels import cell_label
from bench.results.record import Record

PROJECT = "cloakbench"
QUIET = {
    "silent": True,
    "console": "off",
    "symlink": False,  # "latest-run" would be fought over by processes that share a run
    "reinit": "create_new",
    "init_timeout": 60,
    "finish_timeout": 60,
    "finish_timeout_raises": True,
}
"""Says nothing, and waits for no server longer than this, in seconds."""
PRIVATE = {
    "host": "",
    "disable_git": True,
    "disable_code": True,
    "save_code": False,
    "x_disable_meta": True,
    "x_disable_stats": True,
    "x_disable_machine_info": True,
    "x_save_requirements": False,
}
"""The record has what matters of these; host and user are nobody's business, and gathering them takes time."""


@dataclass(frozen=True)
class Wandb(Logger):
    """Weights & Biases: one run per cell and one for all of them; of real people offline unless you ask for more.

    Attributes:
        online: whether results leave this machine; null: of invented people if you are logged in and $WANDB_MODE
            does not say otherwise, of real people never.
        project: W&B project; null: $WANDB_PROJECT, else "cloakbench".
        entity: whose; null: W&B's own choice.
        group: W&B group; null: the run's name.
        tags: more tags.
        images: whether to send generated pictures.
        images_of_real_people: whether to send them even if the people of the data set may be real.
    """

    online: bool | None = None
    project: str | None = None
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    images: bool = False
    images_of_real_people: bool = False

    def check(self, run: Run) -> None:
        """See `Logger.check`."""
        if self.images and not run.invented and not self.images_of_real_people:
            raise BenchError(
                f"logger.images=true would send pictures of the people of {run.data} to W&B, and they may be real.",
                "Leave the pictures here, take data=synthetic, or set logger.images_of_real_people=true.",
            )
        if self.online and not logged_in():
            raise BenchError(
                "logger.online=true needs a W&B API key, and there is none.",
                "Call `wandb login`, set WANDB_API_KEY, or leave logger.online out.",
            )

    def destination(self, run: Run) -> str:
        """See `Logger.destination`."""
        mode = self._mode(run)
        if mode == "online":
            return "W&B, online: settings and scores leave this machine (logger.online=false keeps them here)."
        why = "" if run.invented or self.online is not None else f", for the people of {run.data} may be real"
        return f"W&B, {mode}{why}: nothing leaves this machine (logger.online=true would send settings and scores)."

    def files(self, run: Run) -> str:
        """See `Logger.files`."""
        if (mode := self._mode(run)) == "disabled":
            return ""
        folder = _root(run) / "wandb"
        if mode == "online":
            return f"W&B, group {self.group or run.name}; also in {folder}"
        return f"W&B, in {folder}; to send it: wandb sync {folder}/offline-run-*"

    def log(self, run: Run, record: Record) -> None:
        """One W&B run. Under an agent of a W&B sweep none: what it starts is one run, which `finish` writes."""
        if (mode := self._mode(run)) == "disabled" or "WANDB_SWEEP_ID" in os.environ:
            return
        facts = {"name": cell_label(record), "job_type": record.attack.name, "config": config(record)}
        tags = [record.data, record.defense.name, record.base, record.status]
        with self._open(run, mode, record.cell, record.status == "ok", tags, **facts) as (wandb, opened):
            opened.summary.update(outcome(record))
            found: dict[str, Any] = {"images": _table(wandb, images(record))} if record.images else {}
            if self.images and record.status == "ok":
                found["pictures"] = [wandb.Image(pixels) for pixels in run.pictures(record)]
            if found:
                opened.log(found)

    def finish(self, run: Run, analysis: RunAnalysis) -> None:
        """The W&B run of the whole: means, tiers, and scores person by person."""
        if (mode := self._mode(run)) == "disabled":
            return
        facts = {"name": run.name, "job_type": "summary", "config": {"data": run.data, "defense": run.defense}}
        ok = all(record.status == "ok" for record in analysis.records)
        with self._open(run, mode, f"all cells of {run.name}", ok, [run.data], **facts) as (wandb, opened):
            plan = manifest.load(run.out)  # what the folder has of other commands is not this run's outcome
            cells = {cell.cell for cell in plan.cells} if plan else {record.cell for record in analysis.records}
            opened.summary.update(run_outcome(analysis, run.defense, cells))
            opened.log({name: _table(wandb, grid) for name, grid in run_tables(analysis).items()})

    @contextlib.contextmanager
    def _open(
        self, run: Run, mode: str, what: str, ok: bool, tags: Sequence[str], **facts: Any
    ) -> Iterator[tuple[Any, Any]]:
        """The package and a W&B run, which is closed whatever happens inside; `ok` decides its exit code."""
        wandb = package()
        group = self.group or run.name
        identifier = hash_of([group, what])[:16]
        root = _root(run)
        with place(root / "wandb", identifier):
            opened = wandb.init(
                project=self.project or os.environ.get("WANDB_PROJECT") or PROJECT,
                entity=self.entity,
                group=group,
                id=identifier,
                dir=str(root),
                tags=[*tags, *self.tags],
                settings=wandb.Settings(mode=mode, **QUIET, **PRIVATE),
                **facts,
            )
            code = 1
            try:
                yield wandb, opened
                code = 0 if ok else 1
            finally:
                opened.finish(exit_code=code)

    def _mode(self, run: Run) -> str:
        """As wandb calls it: "online", "offline" or "disabled"."""
        if self.online:
            return "online"
        configured = str(package().setup().settings.mode)
        if configured == "online" and (self.online is False or not run.invented or not logged_in()):
            return "offline"
        return configured


def _root(run: Run) -> Path:
    """The folder in which wandb keeps its own."""
    return expanded(os.environ.get("WANDB_DIR") or run.out)


def _table(wandb: Any, grid: Grid) -> Any:
    return wandb.Table(columns=grid.columns, data=grid.rows)
