"""A run: every cell executed, every record written, then the report. Finished work survives whatever comes later."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from rich.console import Console
from rich.filesize import decimal
from rich.text import Text

from bench.config.schema import RunSettings
from bench.core import numbered
from bench.core.hashing import hash_of
from bench.data import SOURCES
from bench.data.pseudonyms import legend
from bench.loggers import LOGGERS, Run
from bench.loggers.guard import Guard
from bench.models.diffusion.model_cache import Pool
from bench.models.weights import wanted as wanted_files
from bench.report import contact_sheet, document, ending, remarks
from bench.report.analysis import RunAnalysis
from bench.results import manifest, record
from bench.results.conditions import columns
from bench.results.leaks import is_measured, leaks
from bench.results.manifest import Planned
from bench.results.record import Record
from bench.runner import estimate, flops, inputs
from bench.runner.cache_mode import choose
from bench.runner.pipeline import Pipeline
from bench.runner.plan import Cell
from bench.runner.progress_bar import Display
from bench.runner.spent import discarding
from bench.runner.sweep_status import Job
from bench.runner.worker_count import how_many
from bench.runner.workers import execute
from bench.stats.table import as_csv
from bench.store import Store, default_root, write_atomic
from bench.store.lease import lease

BESIDE = {
    *("out", "store", "dry_run", "keep_artifacts", "logger", "mode"),
    *("device", "workers", "threads", "retries", "timeout", "fail_fast"),
}
"""Settings that change no result."""
SHOWN = 20
"""Cells that a dry run names, and skipped files and people that a run does."""


def run(settings: RunSettings, console: Console, overrides: Sequence[str] | None = None, job: Job | None = None) -> int:
    """Execute a run.

    Args:
        settings: what to do.
        console: where to tell about it.
        overrides: the same as a person set it on the command line, so that the manifest can say how to do a cell again.
        job: of the sweep that it is a part of; the sweep's end says what a run's own end would.

    Returns:
        The exit status: 0 if every cell is ok, else 1.

    Raises:
        BenchError: the settings, the data or a model file is wrong; found before any work is done.
    """
    out = Path(settings.out) if settings.out else default_out(settings)
    console.print(Text(f"{_what(settings)}, into {out}"), soft_wrap=True)
    logger = logger_of(settings, out, console)
    planned, pipeline = inputs.checked(settings, out, logger, Pool(settings.devices[0]))
    store, skipped = pipeline.store, pipeline.data.skipped
    for line in skipped[:SHOWN]:
        console.print(f"Skipped: {line}", markup=False, highlight=False, soft_wrap=True)
    if len(skipped) > SHOWN:
        console.print(f"... and {len(skipped) - SHOWN} more files that are no photos")
    if called := legend(pipeline.data, SHOWN):
        console.print(called, markup=False, highlight=False, soft_wrap=True)
    warnings = inputs.warnings(planned, pipeline)
    for line in job.begin(out, warnings) if job else warnings:
        console.print(f"Warning: {line}", style="yellow", markup=False, highlight=False, soft_wrap=True)
    if destination := logger.destination():
        console.print(f"Logged to {destination}", markup=False, highlight=False, soft_wrap=True)
    if settings.dry_run:
        show_plan(planned, pipeline, out.parent, console)
        return 0

    chosen = choose(planned, pipeline, out)
    planned = [new if isinstance(new, Cell) else old for old, new in zip(planned, chosen, strict=True)]
    todo = [cell for cell in chosen if isinstance(cell, Cell)]
    records = [record for record in chosen if isinstance(record, Record)]
    plan = [Planned(cell=c.id, identity=c.identity.name, label=c.label, keys=pipeline.outputs(c)) for c in planned]
    codes = {own: code for code, own in pipeline.data.own.items()}
    saved = manifest.save(out, overrides, settings.model_dump(mode="json"), store.root, plan, codes)
    with lease(store.root, out, [output for cell in plan for output in cell.outputs]), closing(logger):
        logger.begin(saved)
        with (
            discarding(todo, pipeline) as no_more,
            Display(console, len(todo)) as display,
            closing(execute(todo, pipeline, display.show)) as finished,
        ):
            for cell, done in finished:
                no_more(cell)
                record.save(done, out / "cells")
                if not cell.skip:
                    record.discard(done, out / "cells", cell.combination)
                records.append(done)
                display.finish(done, cell.label)
                logger.log(done)
                if settings.fail_fast and done.status == "failed":
                    console.print(f"Stopped (fail_fast). Cells not tried: {len(planned) - len(records)}.")
                    break
        place = {cell.id: index for index, cell in enumerate(planned)}
        records.sort(key=lambda done: place[done.cell])
        # In the order of the plan; what other commands left in this folder follows.
        every = sorted(record.load_all(out), key=lambda done: place.get(done.cell, len(place)))
        whole = RunAnalysis(every)
        collect(whole, out, store)
        logger.finish(whole)
    # Others' commands may have had this folder, too.
    own = RunAnalysis(records, among=every) if len(every) > len(records) else whole
    return conclude(own, every, out, console, logger.files(), brief=job is not None)


def _what(settings: RunSettings) -> str:
    """What a run is about, for its first line."""
    if settings.suite.name != "single":
        return f"Suite {settings.suite.name} on {settings.data.name}"
    return f"{settings.defense.name} {settings.budget:g}/255 against {settings.attack.name} on {settings.data.name}"


def logger_of(settings: RunSettings, out: Path, console: Console) -> Guard:
    """The run's logger, which cannot make it fail.

    Raises:
        BenchError: no such logger, data set or setting.
    """
    made = LOGGERS.create(settings.logger.name, settings.logger.settings)
    run = Run(
        out=out,
        data=settings.data.name,
        invented=SOURCES.get(settings.data.name).invented,
        defense=settings.defense.name,
        pictures=lambda r: numbered.load(
            Store(default_root(settings.store)).path("generate", r.stages["generate"].key), len(r.images)
        ),
    )
    return Guard(made, settings.logger.name, run, console)


def collect(analysis: RunAnalysis, out: Path, store: Store) -> None:
    """Write what is derived from records: images.parquet, scores.csv, report.md, sheet.png."""
    sink = pa.BufferOutputStream()
    pq.write_table(image_table(analysis.records), sink)
    write_atomic(out / "images.parquet", sink.getvalue().to_pybytes())
    write_atomic(out / "scores.csv", as_csv(analysis.long_form()))
    write_atomic(out / "report.md", document.markdown(analysis).encode())
    write_atomic(out / "sheet.png", contact_sheet.draw(analysis, store))


def conclude(
    analysis: RunAnalysis, every: Sequence[Record], out: Path, console: Console, logged: str = "", brief: bool = False
) -> int:
    """Print what the run shows, what else the folder holds, where the files are, and what went wrong.

    A `brief` one leaves the first of these to others.
    """
    records = analysis.records
    for line in remarks.beside(records, every):
        console.print(line, markup=False, emoji=False)
    if brief:
        ending.show_places(out, console, logged)
    else:
        ending.show(analysis, out, console, manifest.load(out), logged)
    bad = [r for r in records if r.status != "ok"]
    for status, reason in dict.fromkeys((r.status, r.reason) for r in bad):  # each once, in order
        console.print(Text.assemble((status, "bold red"), f": {reason}"), soft_wrap=True)
    if bad:
        console.print(f"{len(bad)} of {len(records)} cells are not ok; the others are kept. Mend the cause and repeat.")
    return 1 if bad else 0


def show_plan(planned: list[Cell], pipeline: Pipeline, runs: Path, console: Console) -> None:
    """What a run would do: its cells, what is in the store already, and what the rest takes by earlier runs."""
    running = [cell for cell in planned if not cell.skip]
    for cell in running[:SHOWN]:
        console.print(Text(cell.label))
    if len(running) > SHOWN:
        console.print(f"... and {len(running) - SHOWN} more")
    for reason in dict.fromkeys(cell.skip for cell in planned if cell.skip):
        labels = [cell.label for cell in planned if cell.skip == reason]
        told = f"skipped: {labels[0]}{f' and {len(labels) - 1} more' if labels[1:] else ''}: {reason}"
        console.print(Text(told), soft_wrap=True)
    wanted = dict.fromkeys(item for cell in planned for item in cell.fetchable)
    wanted |= dict.fromkeys(wanted_files.of_metrics(pipeline.settings.metric))
    if wanted:
        console.print("Not on this machine (python -m bench.fetch with the same settings gets it):")
        console.print(wanted_files.table(wanted))
    console.print(estimate.table(estimate.estimate(planned, pipeline, estimate.remembered(runs))))
    console.print(Text(f"Times are medians of the same work in {runs}/*, of other cloaks by their effort."))
    console.print('"?": nothing like it was done there.', markup=False)
    count = how_many(pipeline.settings, pipeline.pool.device, len(running))
    if count > 1:
        console.print(f"They are sums over {count} workers: divide by {count}.")
    room = decimal(estimate.disk(planned, pipeline))
    console.print(Text(f"Pictures take about {room} more in {pipeline.store.root}."))
    if (computing := flops.table(planned, pipeline.settings.fits_together)) is not None:
        console.print(computing)
    console.print(f"{len(running)} cells, {len(planned) - len(running)} skipped; dry run, nothing was executed.")


def image_table(records: Sequence[Record]) -> pa.Table:
    """One row per generated picture of all records."""
    rows = [
        {
            "cell": r.cell,
            "data": r.data,
            "identity": r.identity,
            "defense": r.defense.name,
            "budget": r.defense.budget,
            "countermeasure": "+".join(c.name for c in r.countermeasure),
            "attack": r.attack.name,
            "base": r.base,
            "seed": r.seed,
            **columns(r),
            "leaks": bool(leaking),
            **image.model_dump(exclude={"quality", "similarities"}),
            "similarities": list(image.similarities.items()),
            "quality": list(image.quality.items()),
        }
        for r in records
        for image, leaking in zip(r.images, leaks(r) if is_measured(r) else (), strict=True)
    ]
    return pa.Table.from_pylist(rows, schema=_IMAGE_SCHEMA)


_IMAGE_SCHEMA = pa.schema(
    [(name, pa.string()) for name in ("cell", "data", "identity", "defense")]
    + [("budget", pa.float64())]
    + [(name, pa.string()) for name in ("countermeasure", "attack", "base")]
    + [("seed", pa.int64()), ("data_fingerprint", pa.string()), ("data_config", pa.string())]
    + [("base_fingerprint", pa.string()), ("steps", pa.int32()), ("guidance", pa.float64())]
    + [("resolution", pa.int32()), ("precision", pa.string()), ("family", pa.string()), ("revision", pa.string())]
    + [("prompts", pa.string()), ("images_per_prompt", pa.int32()), ("far", pa.float64())]
    + [(f"{method}_config", pa.string()) for method in ("defense", "countermeasure", "attack")]
    + [("surrogate_models", pa.string()), ("leaks", pa.bool_()), ("prompt", pa.int32()), ("image", pa.int32())]
    + [("noise_seed", pa.int64()), ("faces", pa.int32()), ("similarity", pa.float64()), ("sha256", pa.string())]
    + [("similarities", pa.map_(pa.string(), pa.float64()))]
    + [("quality", pa.map_(pa.string(), pa.float64()))]
)


def default_out(settings: RunSettings) -> Path:
    """`runs/<date>-<name>`; the name ends in a hash of the settings, so that different runs never share a folder."""
    facts = settings.model_dump(mode="json", exclude=BESIDE)
    parts = [settings.defense.name, f"{settings.budget:g}", settings.attack.name]
    if settings.suite.name != "single":
        parts = [settings.suite.name]
    return Path("runs") / "-".join([datetime.date.today().isoformat(), *parts, settings.data.name, hash_of(facts)[:6]])
