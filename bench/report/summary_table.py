"""The table of a run: a row for every arm, with its mean scores over people."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from bench.report import tables
from bench.report.analysis import RunAnalysis
from bench.results.arms import Arm
from bench.results.conditions import departures
from bench.results.labels import attack_label, chain_label, condition_text
from bench.results.record import CLOAK, Record

COLUMNS = (
    "arm",
    *("n", "FDFR", "ISM", "ISM0", "likeness", "ILR", "95 %", "photos", "Linf", "PSNR", "SSIM", "cloak s", "fit s"),
)
"""n is people; ISM is over detected faces, ISM0 over all pictures; 95 % is the interval of ILR; photos is the share of
cloaked photos that pass for the person; `cloak s` and `fit s` (fit and generate) are seconds per person, the median."""
NOT_SHOWN = {"ISM", "ISM0", "SSIM", "fit s"}
"""Left out on a terminal for want of room: close to likeness and PSNR, and what costs nothing to know later."""
OF_CLOAKS = {"photos", "Linf", "PSNR", "cloak s"}
"""Left out where there is no cloak."""
TERMINAL = 80
"""Characters in a line of one."""
LINES = 20
"""With more arms than this, a terminal shows leak rates alone."""


def cells(arm: Arm) -> list[str]:
    """An arm's row as text, in the order of `COLUMNS`."""
    ok = sum(r.status == "ok" for r in arm.records)
    people = str(ok) if ok == len(arm.records) else f"{ok}/{len(arm.records)}"
    base = arm.records[0].attack.name == "none"
    cloak: list[tuple[float | None, str]] = [
        (None if base else arm.mean("photos_recognised"), ".2f"),
        (None if base else arm.mean("linf"), ".0f"),
        (None if base else arm.mean("psnr"), ".1f"),
        (None if base else arm.mean("ssim"), ".2f"),
        (None if base else arm.seconds(*CLOAK), ".1f"),
    ]
    scores = [(arm.mean(m), ".2f") for m in ("fdfr", "ism_detected", "ism_zero", "likeness", "ilr")]
    interval, costs = arm.interval("ilr"), [*cloak, (arm.seconds("fit", "generate"), ".1f")]
    leak = "-" if interval is None else f"{interval[0]:.2f}-{interval[1]:.2f}"
    return [arm.label, people, *map(number, scores), leak, *map(number, costs)]


def number(value: tuple[float | None, str]) -> str:
    return "-" if value[0] is None else format(*value)


def table(analysis: RunAnalysis) -> Table:
    """The result table for a terminal of 80 columns: `report.md` has what is left out here."""
    records, rows = analysis.records, analysis.arms
    header, across = tables.across(records, tables.entries(analysis)) if len(rows) > LINES else ([], [])
    if across:
        means = [[arm, *(text.split()[0] for text in rest)] for arm, *rest in across]
        return _table(f"Likeness of {title(records)}", [name.replace("_", " ") for name in header], means)
    left_out = NOT_SHOWN if any(r.defense.name != "none" for r in records) else NOT_SHOWN | OF_CLOAKS
    shown = [index for index, name in enumerate(COLUMNS) if name not in left_out]
    lines = [[row[index] for index in shown] for row in map(cells, rows)]
    return _table(title(records), [COLUMNS[index] for index in shown], lines)


def _table(heading: str, header: Sequence[str], lines: Sequence[Sequence[str]]) -> Table:
    """Headings may be broken into lines, names of arms between words, numbers not at all.

    Where the longest words leave too little room, columns stand closer.
    """
    columns = [[name, *(line[index] for line in lines)] for index, name in enumerate(header)]
    needed = sum(max(len(word) for text in texts for word in text.split()) for texts in columns)
    gap = 1 if needed + 2 * len(columns) + 1 <= TERMINAL else 0
    drawn = Table(title=Text(heading, "table.title"), box=box.SIMPLE_HEAD, padding=(0, gap, 0, 0))
    for index, name in enumerate(header):
        width = max((len(word) for line in lines for word in line[index].split()), default=0)
        drawn.add_column(Text(name), justify="right" if index else "left", min_width=width, overflow="fold")
    for line in lines:
        drawn.add_row(*map(Text, line))
    return drawn


def title(records: Sequence[Record]) -> str:
    """What a run is about: its attacks and countermeasures, bases and data."""
    own = [r for r in records if r.attack.name != "none"]
    attacks, chains = (list(dict.fromkeys(of(r) or "none" for r in own)) for of in (attack_label, chain_label))
    after = f" after {', '.join(chains)}" if set(chains) - {"none"} else ""
    bases, data = (", ".join(dict.fromkeys(names)) for names in ([r.base for r in records], [r.data for r in records]))
    return f"{', '.join(attacks) or 'no attack'}{after} on {bases}{_departures(records)}, people of {data}"


def _departures(records: Sequence[Record]) -> str:
    """What all records share that is not as their protocol has it; where they differ, their arms name it."""
    rows = [{condition_text(name, value) for name, value in departures(r).items()} for r in records]
    ordered = [condition_text(name, value) for name, value in departures(records[0]).items()]
    shared = [said for said in ordered if said in set.intersection(*rows)]
    return f" ({', '.join(shared)})" if shared else ""
