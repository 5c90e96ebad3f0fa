"""Weights & Biases: one live run per command, and one per cell if asked for, in one group.

The run is opened before the first cell and closed after the last, whatever ends the command. Its id is a hash of group
and cells: who repeats a command overwrites, and the jobs of a sweep are runs beside each other.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.core.hashing import hash_of
from bench.core.paths import expanded
from bench.loggers import Logger, Run
from bench.loggers.wandb_content import Grid, config, images, outcome, progress, run_outcome, run_tables
from bench.loggers.wandb_place import Session, logged_in, package
from bench.report.analysis import RunAnalysis
from bench.results.labels import cell_label
from bench.results.manifest import RunManifest
from bench.results.record import Record

PROJECT = "cloakbench"
REPORT = ("report.md", "scores.csv")
"""Files of the run's folder that are sent: words and numbers."""
SHEET = "sheet.png"
"""The contact sheet, which shows people."""


@dataclass
class Live:
    """The run of a command while its cells are done: how many by status, and whose they are."""

    session: Session
    cells: frozenset[str]
    statuses: Counter[str] = field(default_factory=Counter)


@dataclass(frozen=True)
class Wandb(Logger):
    """Weights & Biases: one live run per command; of real people offline unless you ask for more.

    Attributes:
        online: whether results leave this machine; null: of invented people if you are logged in and $WANDB_MODE
            does not say otherwise, of real people never.
        cells: whether every cell has a run of its own, too.
        project: W&B project; null: $WANDB_PROJECT, else "cloakbench".
        entity: whose; null: W&B's own choice.
        group: W&B group; null: the run's name.
        tags: more tags.
        images: whether to send generated pictures, of every cell.
        images_of_real_people: whether to send them, and the contact sheet, even if the people of the data set may be
            real.
    """

    online: bool | None = None
    cells: bool = False
    project: str | None = None
    entity: str | None = None
    group: str | None = None
    tags: tuple[str, ...] = ()
    images: bool = False
    images_of_real_people: bool = False
    _live: list[Any] = field(init=False, repr=False, compare=False, default_factory=list)
    """The `Live` run of this command while it is open, or nothing."""

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
        what = "settings, scores and the contact sheet" if self._may_show(run) else "settings and scores"
        if mode == "online":
            return f"W&B, online: {what} leave this machine (logger.online=false keeps them here)."
        why = "" if run.invented or self.online is not None else f", for the people of {run.data} may be real"
        return f"W&B, {mode}{why}: nothing leaves this machine (logger.online=true would send {what})."

    def files(self, run: Run) -> str:
        """See `Logger.files`."""
        if (mode := self._mode(run)) == "disabled":
            return ""
        folder = _root(run) / "wandb"
        if mode == "online":
            return f"W&B, group {self.group or run.name}; also in {folder}"
        return f"W&B, in {folder}; to send it: wandb sync {folder}/offline-run-*"

    def begin(self, run: Run, plan: RunManifest) -> None:
        """Open the run of this command, with its whole configuration."""
        if (mode := self._mode(run)) == "disabled":
            return
        cells = frozenset(cell.cell for cell in plan.cells)
        settings = plan.settings | {"cells": len(cells)}
        command = shlex.join(["python", "-m", "bench", *(plan.overrides or ())])
        facts = {"name": run.name, "job_type": "run", "config": settings, "notes": command}
        self._live.append(Live(self._open(run, mode, sorted(cells), [run.data], **facts), cells))

    def log(self, run: Run, record: Record) -> None:
        """A step of the command's run; and the cell's own, if asked for."""
        for live in self._live:
            live.statuses[record.status] += 1
            found = progress(record, live.statuses)
            with live.session.staged():
                live.session.run.log(found | self._pictures(run, record))
        if self.cells and not _under_agent() and (mode := self._mode(run)) != "disabled":
            self._log_cell(run, mode, record)

    def _log_cell(self, run: Run, mode: str, record: Record) -> None:
        facts = {"name": cell_label(record), "job_type": record.attack.name, "config": config(record)}
        tags = [record.data, record.defense.name, record.base, record.status]
        session = self._open(run, mode, record.cell, tags, **facts)
        with _closing(session, record.status == "ok"), session.staged():
            session.run.summary.update(outcome(record))
            found: dict[str, Any] = {"images": _table(images(record))} if record.images else {}
            if found := found | self._pictures(run, record):
                session.run.log(found)

    def finish(self, run: Run, analysis: RunAnalysis) -> None:
        """What the command's run is about in the end: means, tiers, scores person by person, and the report."""
        if not self._live:
            return
        live: Live = self._live.pop()
        session, ok = live.session, all(record.status == "ok" for record in analysis.records)
        with _closing(session, ok), session.staged():
            # What the folder has of other commands is not this run's outcome.
            session.run.summary.update(run_outcome(analysis, run.defense, live.cells))
            session.run.log({name: _table(grid) for name, grid in run_tables(analysis).items()})
            files = [run.out / name for name in (*REPORT, *((SHEET,) if self._may_show(run) else ()))]
            if there := [file for file in files if file.is_file()]:
                name = re.sub(r"[^\w.-]", "_", run.name)[:100]
                artifact = session.package.Artifact(f"report-{name}", type="report")
                for file in there:
                    artifact.add_file(str(file))
                session.run.log_artifact(artifact)

    def close(self, run: Run) -> None:
        """End a run that something has interrupted, as failed."""
        while self._live:
            self._live.pop().session.close(ok=False)

    def _open(self, run: Run, mode: str, what: object, tags: Sequence[str], **facts: Any) -> Session:
        group = self.group or run.name
        named = {
            "project": self.project or os.environ.get("WANDB_PROJECT") or PROJECT,
            "entity": self.entity,
            "group": group,
            "tags": [*tags, *self.tags],
        }
        return Session(_root(run), mode, hash_of([group, what])[:16], named | facts)

    def _pictures(self, run: Run, record: Record) -> dict[str, Any]:
        """The generated pictures of a cell, if they are asked for."""
        if not self.images or record.status != "ok":
            return {}
        title = cell_label(record)
        return {"pictures": [package().Image(pixels, caption=title) for pixels in run.pictures(record)]}

    def _may_show(self, run: Run) -> bool:
        """Whether people may be seen in what is sent."""
        return run.invented or self.images_of_real_people

    def _mode(self, run: Run) -> str:
        """As wandb calls it: "online", "offline" or "disabled"."""
        if self.online:
            return "online"
        configured = str(package().setup().settings.mode)
        if configured == "online" and (self.online is False or not run.invented or not logged_in()):
            return "offline"
        return configured


def _under_agent() -> bool:
    """Whether an agent of a W&B sweep has started this: then it is one run."""
    return "WANDB_SWEEP_ID" in os.environ


@contextlib.contextmanager
def _closing(session: Session, ok: bool) -> Iterator[None]:
    """A W&B run is closed whatever happens inside; as failed, if something does."""
    done = False
    try:
        yield
        done = True
    finally:
        session.close(ok=ok and done)


def _root(run: Run) -> Path:
    """The folder in which wandb keeps its own."""
    return expanded(os.environ.get("WANDB_DIR") or run.out)


def _table(grid: Grid) -> Any:
    return package().Table(columns=grid.columns, data=grid.rows)
