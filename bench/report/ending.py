"""The end of a run or a sweep on a terminal: what it shows, one caveat, where everything is, and what comes next."""

from __future__ import annotations

import datetime
import shlex
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bench.report import summary_table
from bench.report.analysis import RunAnalysis
from bench.report.comparisons import WORST
from bench.report.conclusions import conclusions
from bench.report.remarks import meaning
from bench.report.sanity_checks import findings
from bench.results.manifest import RunManifest
from bench.results.record import CLOAK, Record, load_all
from bench.results.standard import BASES
from bench.stats.max_t import fewest_people


def show(analysis: RunAnalysis, out: Path, console: Console, plan: RunManifest | None, logged: str) -> None:
    """Print the end of a run.

    Args:
        analysis: of its records.
        out: its folder.
        console: where to.
        plan: its manifest, from which the next command follows; None for a folder without.
        logged: where its logger put what; empty for nowhere.
    """
    console.print(Text(verdict(analysis), "bold"))
    console.print(summary_table.table(analysis))
    for line in meaning(analysis.records):
        console.print(Text(line))
    told = caveats(analysis)
    console.print(Text(told[0]))
    if len(told) > 1:
        console.print(Text(f"{len(told) - 1} more to know before you believe it: {out / 'report.md'}"), soft_wrap=True)
    show_places(out, console, logged)
    if plan and (step := next_step(analysis, plan, out)):
        _lines(console, [("next", step)])


def show_places(out: Path, console: Console, logged: str) -> None:
    """Print where a run's pictures, cloaked photos and report are, and what its logger put where."""
    export = shlex.join(["python", "-m", "bench.export", str(out), "-o", "pictures"])
    places = [
        ("pictures", f"{out / 'sheet.png'}; all, and the cloaked photos: {export}"),
        ("report", out / "report.md"),
    ]
    _lines(console, [*places, *([("logged", logged)] if logged else [])])


def show_sweep(outs: Iterable[Path], warnings: Iterable[str], console: Console) -> None:
    """Print the end of a sweep: one table of all that its jobs did, and what any of them warned of, once.

    Args:
        outs: the folders of its jobs.
        warnings: what the jobs said before they began.
        console: where to.
    """
    folders = list(dict.fromkeys(out for out in outs if out.is_dir()))
    records = {record.cell: record for out in folders for record in load_all(out)}
    if not records:
        return
    analysis = RunAnalysis(list(records.values()))
    console.print(Text(f"All jobs of the sweep: {len(records)} cells", "bold"))
    console.print(Text(verdict(analysis), "bold"))
    console.print(summary_table.table(analysis))
    for line in dict.fromkeys([*(f"Warning: {line}" for line in warnings), *caveats(analysis)]):
        console.print(Text(line), soft_wrap=True)
    _lines(console, [("report", out / "report.md") for out in folders])


def verdict(analysis: RunAnalysis) -> str:
    """What may be said, by the rule of `bench.stats.rule`: of the worst attack, where there are several."""
    found = {each.attack: each for each in analysis.comparisons}
    last = found.get(WORST) or next(iter(found.values()), None)
    return conclusions([last] if last else [])[0]


def caveats(analysis: RunAnalysis) -> list[str]:
    """What to know before believing it, the gravest first; at least of what the base model is."""
    families = {BASES[r.base]["family"] for r in analysis.records if r.base in BASES}
    small = "Small 128 px model: it says nothing about Stable Diffusion." if families == {"facelet"} else ""
    general = small or "All of it is about these people, this base and these settings."
    return [*(str(finding) for finding in findings(analysis)), general]


def next_step(analysis: RunAnalysis, plan: RunManifest, out: Path) -> str | None:
    """The command that tells more, and how long it takes by what this run took; None where there is none to propose.

    More people, where so few cannot show anything; else the same cloaks after JPEG; else all that a table can show.
    """
    if plan.overrides is None or any(r.status != "ok" for r in analysis.records):
        return None
    people, enough = len({r.identity for r in analysis.records}), fewest_people() + 1  # so that one may disagree
    several = any(len(each.scores.ranked) > 1 for each in analysis.comparisons)
    limited = 0 < plan.settings["data"]["settings"].get("limit", 0) < enough
    if limited and people < fewest_people(two_sided=several):
        seconds = _seconds(analysis.records) / people * (enough - people)
        return f"{_again(plan, f'data.limit={enough}')}\n{_about(seconds)}: {enough} people can show a difference"
    single = plan.settings.get("suite", {}).get("name") == "single"
    if single and all(step.name == "none" for r in analysis.records for step in r.countermeasure):
        seconds = _seconds(analysis.records, without=CLOAK)
        return f"{_again(plan, 'countermeasure=jpeg')}\n{_about(seconds)}: do the same cloaks hold after JPEG?"
    return (
        f"{shlex.join(['python', '-m', 'bench.stats', str(out / 'scores.csv')])}\nat once: all that its scores can show"
    )


def _again(plan: RunManifest, change: str) -> str:
    """The run's command with one setting changed."""
    name = change.partition("=")[0]
    kept = [each for each in plan.overrides or () if each.partition("=")[0].lstrip("+") not in ("out", name)]
    return shlex.join(["python", "-m", "bench", *kept, change])


def _seconds(records: Sequence[Record], without: Sequence[str] = ()) -> float:
    """What the outputs of some records took to compute, each once, wherever they are from."""
    stages = [(name, facts) for record in records for name, facts in record.stages.items() if name not in without]
    return sum({(name, facts.key): facts.seconds for name, facts in stages}.values())


def _about(seconds: float) -> str:
    return f"about {datetime.timedelta(seconds=max(1, round(seconds)))} of computing"


def _lines(console: Console, lines: Iterable[tuple[str, object]]) -> None:
    """Names and what they are, commands and paths in one line each, to be copied."""
    for name, words in lines:
        for number, line in enumerate(str(words).split("\n")):
            console.print(Text(f"{'' if number else name:10s}{line}"), soft_wrap=True)
