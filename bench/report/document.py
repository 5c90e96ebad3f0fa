"""The table at the end of a run, on the console and as Markdown.

python -m bench.report runs/<run>      print it again, and save it in the run's folder: report.md, report.csv,
                                       report.tex, and plots/*.svg and *.png where matplotlib is installed
"""

from __future__ import annotations

import datetime
import sys
from collections.abc import Iterable, Sequence
from pathlib import Path

from rich import box
from rich.table import Table
from rich.text import Text

from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.core.terminal import terminal
from bench.models.weights.published import PACKS, RESEARCH
from bench.report import plots, robustness, tables
from bench.report.comparisons import Picked, Standing, leaking, metrics_of, picked, standings
from bench.report.conclusions import conclusions
from bench.report.markdown import escape, paragraph
from bench.report.markdown import table as markdown_table
from bench.report.sanity_checks import findings
from bench.results.arms import Arm, arms, attack_label, chain_label, label
from bench.results.conditions import Told, departures
from bench.results.conditions import text as condition_text
from bench.results.record import Record, load_all
from bench.results.relative import gate_of, with_derived
from bench.stats import summary
from bench.store import write_atomic
from metrics import METRICS

COLUMNS = ("arm", "n", "FDFR", "ISM", "ISM0", "ILR", "95 %", "Linf", "PSNR", "SSIM", "cloak s", "fit s")
"""ISM is over detected faces, ISM0 over all pictures; n is people; 95 % is the interval of ILR; `cloak s` and
`fit s` (fit and generate) are seconds per person."""
NOT_SHOWN = {"ISM", "SSIM"}
"""Left out on a terminal: never to be ranked by, and close to PSNR."""
CLOAK = {"Linf", "PSNR", "cloak s"}
"""Left out where there is no cloak."""
CHOICES = ("arm", "ILR, one attack per person", "ILR, one attack for all", "which")
ACROSS = f"ILR, lower is better. {tables.NOTE} The worst attack is chosen person by person."
LINES = 20
"""With more arms than this, a terminal shows leak rates alone."""
WIDE = 8
"""With more arms than this, they are lines of all tables, not columns."""


def cells(arm: Arm) -> list[str]:
    """An arm's row as text, in the order of `COLUMNS`."""
    ok = sum(r.status == "ok" for r in arm.records)
    people = str(ok) if ok == len(arm.records) else f"{ok}/{len(arm.records)}"
    base = arm.records[0].attack.name == "none"
    cloak: list[tuple[float | None, str]] = [
        (None if base else arm.mean("linf"), ".0f"),
        (None if base else arm.mean("psnr"), ".1f"),
        (None if base else arm.mean("ssim"), ".2f"),
        (None if base else arm.seconds("protect"), ".1f"),
    ]
    scores = [(arm.mean(m), ".2f") for m in ("fdfr", "ism_detected", "ism_zero", "ilr")]
    interval, costs = arm.interval("ilr"), [*cloak, (arm.seconds("fit", "generate"), ".1f")]
    leak = "-" if interval is None else f"{interval[0]:.2f}-{interval[1]:.2f}"
    return [arm.label, people, *map(_number, scores), leak, *map(_number, costs)]


def _number(value: tuple[float | None, str]) -> str:
    return "-" if value[0] is None else format(*value)


def table(records: Sequence[Record], compared: Sequence[Standing], among: Sequence[Record] | None = None) -> Table:
    """The result table for a terminal of 80 columns: `report.md` has what is left out here.

    Args:
        records: of a run.
        compared: their `standings`, here and in all functions of this module.
        among: all records of the folder, if those are some of them.
    """
    rows = arms(records, among)
    header, across = tables.across(records, tables.entries(records, compared)) if len(rows) > LINES else ([], [])
    if across:
        means = [[arm, *(text.split()[0] for text in rest)] for arm, *rest in across]
        return _table(f"ILR of {_title(records)}", [name.replace("_", " ") for name in header], means)
    left_out = NOT_SHOWN if any(r.defense.name != "none" for r in records) else NOT_SHOWN | CLOAK
    shown = [index for index, name in enumerate(COLUMNS) if name not in left_out]
    lines = [[row[index] for index in shown] for row in map(cells, rows)]
    return _table(_title(records), [COLUMNS[index] for index in shown], lines)


def _table(title: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """Headings may be broken into lines, names of arms between words, numbers not at all."""
    made = Table(title=Text(title, "table.title"), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for index, name in enumerate(header):
        width = max((len(word) for line in lines for word in line[index].split()), default=0)
        made.add_column(Text(name), justify="right" if index else "left", min_width=width, overflow="fold")
    for line in lines:
        made.add_row(*map(Text, line))
    return made


def _title(records: Sequence[Record]) -> str:
    own = [r for r in records if r.attack.name != "none"]
    attacks, chains = (list(dict.fromkeys(of(r) or "none" for r in own)) for of in (attack_label, chain_label))
    after = f" after {', '.join(chains)}" if set(chains) - {"none"} else ""
    bases, data = (", ".join(dict.fromkeys(names)) for names in ([r.base for r in records], [r.data for r in records]))
    return f"{', '.join(attacks) or 'no attack'}{after} on {bases}{_departures(records)}, people of {data}"


def _departures(records: Sequence[Record]) -> str:
    """What all records share that is not as protocol 1 has it; where they differ, their arms name it."""
    rows = [{condition_text(name, value) for name, value in departures(r).items()} for r in records]
    ordered = [condition_text(name, value) for name, value in departures(records[0]).items()]
    shared = [said for said in ordered if said in set.intersection(*rows)]
    return f" ({', '.join(shared)})" if shared else ""


def remarks(records: Sequence[Record], compared: Sequence[Standing]) -> list[str]:
    """What the numbers mean, what can be told apart, what may be wrong with the run, and licences that bind."""
    lines = []
    if judged := _judged(records):
        lines.append(
            "ILR: share of generated pictures that pass for the person (judge: similarity >= "
            f"{'; '.join(judged)}). Lower is better protection."
        )
    if clean := leaking(records):
        shares = ", ".join(f"{leak} of {people} ({attack})" for attack, (leak, people) in clean.items())
        lines.append(f"People whose clean photos leak at all, of whom alone a cloak can show anything: {shares}.")
    told: dict[str, list[str]] = {}
    for standing in compared:
        told.setdefault(summary.counts(standing.scores, standing.judged), []).append(standing.attack)
    lines += [f"{', '.join(attacks)}: {counts} (report.md)." for counts, attacks in told.items()]
    return lines + [str(finding) for finding in findings(records)] + _bound(records)


def beside(records: Sequence[Record], every: Sequence[Record]) -> list[str]:
    """Under which other conditions the folder of some records holds results."""
    told = Told(every)
    own = dict.fromkeys(told.texts(r) for r in records)
    others = dict.fromkeys(texts for r in every if (texts := told.texts(r)) not in own)
    if not others:
        return []
    here, there = (" and ".join(", ".join(texts) for texts in of) for of in (own, others))
    return [f"The folder also holds results made with {there}; these are with {here}. report.md keeps them apart."]


def _judged(records: Sequence[Record]) -> list[str]:
    """The judge's thresholds, and where there are several, what each is for."""
    names = ("ilr", "far", "pairs")
    known = {tuple(r.thresholds[n] for n in names): r for r in records if set(names) <= r.thresholds.keys()}
    told = Told(list(known.values()))
    return [
        f"{similarity:.2f}, where {far:.1%} of strangers pass, {pairs:.0f} pairs"
        + (f": {', '.join(texts)}" if (texts := told.texts(r)) else "")
        for (similarity, far, pairs), r in known.items()
    ]


def _bound(records: Sequence[Record]) -> list[str]:
    """What these records used that is not for everybody, once."""
    used = {
        name
        for facts in (facts for r in records if r.status != "skipped" for facts in (r.defense, r.attack))
        for name in (facts.config.get("recogniser"), *(facts.config.get("recognisers") or ()))
    }
    return [f"{', '.join(bound)} of insightface: {RESEARCH}."] if (bound := sorted(used & PACKS.keys())) else []


def markdown(records: Sequence[Record], compared: Sequence[Standing]) -> str:
    """The report file: the table, what can be told apart, the leak of every person, and what failed."""
    rows = arms(records)
    every = [*markdown_table(COLUMNS, [cells(arm) for arm in rows]), ""]
    header, across = tables.across(records, tables.entries(records, compared))
    lines = [
        f"# CloakBench: {escape(_title(records))}",
        "",
        *([*markdown_table(header, across), "", ACROSS, ""] if across else every),
    ]
    lines += _paragraphs(remarks(records, compared))
    for standing in compared:
        lines += [f"## What can be told apart: {escape(standing.attack)}", ""]
        lines += [*markdown_table(summary.COLUMNS, summary.rows(standing.scores, standing.judged, standing.order)), ""]
        lines += _paragraphs(summary.sentences(standing.scores, standing.judged, standing.order))
    if choices := picked(records):
        lines += [
            "## If the attacker may choose",
            "",
            *markdown_table(CHOICES, [_choice(choice) for choice in choices]),
            "",
        ]
    for grid in (survived := robustness.grids(records)):
        lines += [f"## After countermeasures: {escape(grid.attack)}", "", *_survival(grid), ""]
    lines += _paragraphs(robustness.sentences(survived))
    lines += ["## What may be concluded", ""]
    lines += _paragraphs(conclusions(compared))
    lines += ["## Every arm", "", *every] if across else []
    lines += ["## All metrics", "", *_all_metrics(records), ""]
    people = list(dict.fromkeys(person for arm in rows for person in arm.people))
    lines += ["## ILR by person", ""]
    lines += _by_arm("person", rows, [[p, *(_leak(arm, p) for arm in rows)] for p in people])
    if costs := _cost(records):
        lines += ["", "## What it cost", "", costs]
    bad = [r for r in records if r.status != "ok"]
    if bad:
        lines += ["", "## Not ok", ""]
        lines += [f"- {paragraph(f'{r.identity}, {label(r)}: {r.status}: {r.reason}')}" for r in bad]
    return "\n".join(lines) + "\n"


def _paragraphs(texts: Iterable[str]) -> list[str]:
    return [line for text in texts for line in (paragraph(text), "")]


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


def _survival(grid: robustness.Grid) -> list[str]:
    """Leak rates by cloak and countermeasure, with what became of each protection."""

    def text(cloak: str, chain: str) -> str:
        cell = grid.cells.get((cloak, chain))
        return "-" if cell is None else f"{cell.leak:.2f} {cell.verdict}".rstrip()

    return markdown_table(
        ("ILR", *grid.chains), [[cloak, *(text(cloak, c) for c in grid.chains)] for cloak in grid.cloaks]
    )


def _choice(choice: Picked) -> tuple[str, ...]:
    return choice.arm, f"{choice.per_person:.2f}", f"{choice.once:.2f}", choice.attack


def _all_metrics(records: Sequence[Record]) -> list[str]:
    """Means over people of every metric, and why some are missing."""
    complete = with_derived(records)
    rows, names = arms(complete), metrics_of(complete)
    known = {name: f"{name} ({metric.better})" if (metric := METRICS.find(name)) else name for name in names}
    lines = _by_arm("metric", rows, [[known[n], *(_number((arm.mean(n), ".3f")) for arm in rows)] for n in names])
    if gate := gate_of(complete):
        lines += ["", f"Usable leaks are those no worse, by `{gate}`, than the worst twentieth of the clean arm's."]
    lacking: dict[str, dict[str, None]] = {}
    for name, reason in ((n, reason) for r in complete for n, reason in r.unavailable.items() if n not in names):
        lacking.setdefault(reason, {})[name] = None
    missing = [f"- not measured: {', '.join(of_reason)}: {escape(reason)}" for reason, of_reason in lacking.items()]
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


def save(records: Sequence[Record], compared: Sequence[Standing], out: Path) -> list[Path]:
    """Write all forms of the report but the plots into a run's folder."""
    found = tables.entries(records, compared)
    files = {
        "report.md": markdown(records, compared).encode(),
        "report.csv": tables.as_csv(found),
        "report.tex": tables.as_latex(found, _title(records), tables.across(records, found)).encode(),
    }
    for name, content in files.items():
        write_atomic(out / name, content)
    return [out / name for name in files]


def save_plots(records: Sequence[Record], out: Path) -> list[Path]:
    """Draw what can be drawn into `plots/`.

    Raises:
        BenchError: matplotlib is not installed.
    """
    files = {out / "plots" / name: content for name, content in plots.draw(records).items()}
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
    compared = standings(records)
    console.print(table(records, compared))
    for line in remarks(records, compared):
        console.print(line, highlight=False)
    saved = save(records, compared, out)
    try:
        saved += save_plots(records, out)
    except BenchError as error:  # the tables are worth having without plots
        console.print(str(error), highlight=False)
    for path in saved:
        console.print(str(path), highlight=False, soft_wrap=True)
    return 0


if __name__ == "__main__":
    from bench.core.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
