"""The report of a run, as Markdown and in other forms.

python -m bench.report runs/<run>      print its table again, and save it in the run's folder: report.md, report.csv,
                                       report.tex, and plots/*.svg and *.png where matplotlib is installed
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.core.terminal import terminal
from bench.report import plots, tables
from bench.report.analysis import RunAnalysis
from bench.report.comparisons import AttackerChoice, choice, leaking
from bench.report.conclusions import conclusions
from bench.report.formats import markdown_paragraph, markdown_table, markdown_text
from bench.report.made_against import NOTE as SEEN
from bench.report.made_against import made_against
from bench.report.remarks import remarks
from bench.report.robustness import Grid, sentences
from bench.report.summary_table import COLUMNS, cells, number, table, title
from bench.results.arms import Arm
from bench.results.labels import arm_label
from bench.results.record import Record, load_all
from bench.results.relative import gate_of
from bench.stats import summary
from bench.store import write_atomic
from metrics import METRICS

CHOICES = ("arm", "likeness, one attack per person", "likeness, one attack for all", "which")
ACROSS = f"Likeness, lower is better. {tables.NOTE}"
LEAKING = "people whose clean photos leak at all"
WIDE = 8
"""With more arms than this, they are lines of all tables, not columns."""


def markdown(analysis: RunAnalysis) -> str:
    """The report file: the table, what can be told apart, the leak of every person, and what failed."""
    records, rows = analysis.records, analysis.arms
    every = [*markdown_table(COLUMNS, [cells(arm) for arm in rows]), ""]
    header, across = tables.across(records, tables.entries(analysis))
    gated = [*across, _gate(header, analysis)]
    lines = [
        f"# CloakBench: {markdown_text(title(records))}",
        "",
        *([*markdown_table(header, gated), "", f"{ACROSS} {choice(records)}", ""] if across else every),
    ]
    lines += _paragraphs(remarks(analysis))
    seen_header, seen = made_against(analysis)
    lines += ["## Made against", "", *markdown_table(seen_header, seen), "", SEEN, ""] if seen else []
    for compared in analysis.comparisons:
        lines += [f"## What can be told apart: {markdown_text(compared.attack)}", ""]
        lines += [*markdown_table(summary.COLUMNS, summary.rows(compared.scores, compared.judged, compared.order)), ""]
        lines += _paragraphs(summary.sentences(compared.scores, compared.judged, compared.order))
    if choices := analysis.attacker_choices:
        lines += [
            "## If the attacker may choose",
            "",
            *markdown_table(CHOICES, [_choice(each) for each in choices]),
            "",
        ]
    for grid in analysis.robustness:
        lines += [f"## After countermeasures: {markdown_text(grid.attack)}", "", *_robustness(grid), ""]
    lines += _paragraphs(sentences(analysis.robustness))
    lines += ["## What may be concluded", ""]
    lines += _paragraphs(conclusions(analysis.comparisons))
    lines += ["## Every arm", "", *every] if across else []
    lines += ["## All metrics", "", *_all_metrics(analysis), ""]
    people = list(dict.fromkeys(person for arm in rows for person in arm.people))
    lines += ["## ILR by person", ""]
    lines += _by_arm("person", rows, [[p, *(_leak(arm, p) for arm in rows)] for p in people])
    if costs := _cost(records):
        lines += ["", "## What it cost", "", costs]
    bad = [r for r in records if r.status != "ok"]
    if bad:
        lines += ["", "## Not ok", ""]
        lines += [f"- {markdown_paragraph(f'{r.identity}, {arm_label(r)}: {r.status}: {r.reason}')}" for r in bad]
    return "\n".join(lines) + "\n"


def _gate(header: Sequence[str], analysis: RunAnalysis) -> list[str]:
    """The line of the main table that says of how many people an attack can show anything."""
    clean = {attack: f"{leak} of {people}" for attack, (leak, people) in leaking(analysis.by_attack).items()}
    return [LEAKING, *(clean.get(name, "-") for name in header[1:])]


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in (markdown_paragraph(text), "")]


def _cost(records: Sequence[Record]) -> str:
    """Computing time of all outputs, each once, and what it is cell by cell, as without a store."""
    stages = [(name, facts) for r in records for name, facts in r.stages.items()]
    once = sum({(name, facts.key): facts.seconds for name, facts in stages}.values())
    apart = sum(facts.seconds for _, facts in stages)
    if not once:
        return ""
    saved = f"without a store that cells share, {_span(apart)}, {apart / once:.1f} times as much"
    return f"{_span(once)} of computing, and {saved}."


def _span(seconds: float) -> str:
    return str(datetime.timedelta(seconds=round(seconds)))


def _robustness(grid: Grid) -> list[str]:
    """Leak rates by cloak and countermeasure, with what became of each protection."""

    def text(cloak: str, chain: str) -> str:
        cell = grid.cells.get((cloak, chain))
        return "-" if cell is None else f"{cell.leak:.2f} {cell.verdict}".rstrip()

    return markdown_table(
        ("likeness", *grid.chains), [[cloak, *(text(cloak, c) for c in grid.chains)] for cloak in grid.cloaks]
    )


def _choice(made: AttackerChoice) -> tuple[str, ...]:
    return made.arm, f"{made.per_person:.2f}", f"{made.once:.2f}", made.attack


def _all_metrics(analysis: RunAnalysis) -> list[str]:
    """Means over people of every metric, and why some are missing."""
    rows, names = analysis.arms, analysis.metrics
    titles = {name: f"{name} ({metric.better})" if (metric := METRICS.find(name)) else name for name in names}
    lines = _by_arm("metric", rows, [[titles[n], *(number((arm.mean(n), ".3f")) for arm in rows)] for n in names])
    if gate := gate_of(analysis.records):
        lines += ["", f"Usable leaks are those no worse, by `{gate}`, than the worst twentieth of the clean arm's."]
    lacking: dict[str, dict[str, None]] = {}
    for record in analysis.complete:
        for name, reason in record.unavailable.items():
            if name not in names:
                lacking.setdefault(reason, {})[name] = None
    missing = [
        f"- not measured: {', '.join(of_reason)}: {markdown_text(reason)}" for reason, of_reason in lacking.items()
    ]
    return [*lines, "", *missing] if missing else lines


def _leak(arm: Arm, person: str) -> str:
    value = arm.values("ilr").get(person)
    return "-" if value is None else f"{value:.2f}"


def _by_arm(first: str, rows: Sequence[Arm], body: Sequence[Sequence[str]]) -> list[str]:
    """A table with a column for every arm after the first; of many arms, with a line for each."""
    labels = [arm.label for arm in rows]
    if len(rows) <= WIDE or not body:
        return markdown_table((first, *labels), body)
    names, *columns = zip(*body, strict=True)
    return markdown_table(("arm", *names), [[name, *column] for name, column in zip(labels, columns, strict=True)])


def save(analysis: RunAnalysis, out: Path) -> list[Path]:
    """Write all forms of the report but the plots into a run's folder."""
    entries, records = tables.entries(analysis), analysis.records
    files = {
        "report.md": markdown(analysis).encode(),
        "report.csv": tables.as_csv(entries),
        "report.tex": tables.as_latex(entries, title(records), tables.across(records, entries)).encode(),
    }
    for name, content in files.items():
        write_atomic(out / name, content)
    return [out / name for name in files]


def save_plots(analysis: RunAnalysis, out: Path) -> list[Path]:
    """Draw what can be drawn into `plots/`.

    Raises:
        BenchError: matplotlib is not installed.
    """
    files = {out / "plots" / name: content for name, content in plots.draw(analysis).items()}
    for path, content in files.items():
        write_atomic(path, content)
    return list(files)


def main(arguments: Sequence[str]) -> int:
    """Print and save the report of a finished or running run."""
    console = terminal()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        console.print("usage: python -m bench.report runs/<run>")
        return 2
    out = expanded(arguments[0])
    records = load_all(out)
    if not records:
        raise BenchError(f"{out} holds no records.", "Give a run's folder, the one that holds cells/.")
    analysis = RunAnalysis(records)
    console.print(table(analysis))
    for line in remarks(analysis):
        console.print(line, highlight=False)
    saved = save(analysis, out)
    try:
        saved += save_plots(analysis, out)
    except BenchError as error:  # the tables are worth having without plots
        console.print(str(error), highlight=False)
    for path in saved:
        console.print(str(path), highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    from bench.core.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
