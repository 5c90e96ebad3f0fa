"""The table at the end of a run, on the console and as Markdown.

python -m bench.report runs/<run>      print it again
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rich import box
from rich.console import Console
from rich.table import Table

from bench.errors import BenchError
from bench.record import Record, load_all
from bench.stats import mean_interval

VALID_LEAK = 0.5
"""An attack that leaks less than this on clean photos cannot show what a cloak does."""

COLUMNS = ("arm", "n", "FDFR", "ISM", "ISM0", "ILR", "95 %", "Linf", "PSNR", "SSIM", "cloak s", "fit s")
"""ISM is over detected faces, ISM0 over all pictures; n is people; 95 % is the interval of ILR; `cloak s` and
`fit s` (fit and generate) are seconds per person."""
NOT_SHOWN = {"ISM", "SSIM"}
"""Left out on a terminal: never to be ranked by, and close to PSNR."""
CLOAK = {"Linf", "PSNR", "cloak s"}
"""Left out where there is no cloak."""


@dataclass(frozen=True)
class Row:
    """One arm of a run: the mean over its people."""

    label: str
    records: tuple[Record, ...]

    def mean(self, metric: str) -> float | None:
        """Mean over people; None if nobody has the metric."""
        known = self._known(metric)
        return sum(known) / len(known) if known else None

    def seconds(self, *stages: str) -> float | None:
        """Mean computing time per person, of the computation that made the output."""
        sums = [sum(r.stages[s].seconds for s in stages if s in r.stages) for r in self.records if r.stages]
        return sum(sums) / len(sums) if sums else None

    def cells(self) -> list[str]:
        """The row as text, in the order of `COLUMNS`."""
        ok = sum(r.status == "ok" for r in self.records)
        people = str(ok) if ok == len(self.records) else f"{ok}/{len(self.records)}"
        base = self.records[0].attack.name == "none"
        cloak: list[tuple[float | None, str]] = [
            (None if base else self.mean("linf"), ".0f"),
            (None if base else self.mean("psnr"), ".1f"),
            (None if base else self.mean("ssim"), ".2f"),
            (None if base else self.seconds("protect"), ".1f"),
        ]
        scores = [(self.mean(m), ".2f") for m in ("fdfr", "ism_detected", "ism_zero", "ilr")]
        leak, costs = self.interval("ilr"), [*cloak, (self.seconds("fit", "generate"), ".1f")]
        return [self.label, people, *map(_number, scores), leak, *map(_number, costs)]

    def interval(self, metric: str) -> str:
        """The 95 % interval of the mean over people, as text; "-" for fewer than two people."""
        known = self._known(metric)
        if len(known) < 2:
            return "-"
        low, high = mean_interval(known)
        return f"{low:.2f}-{high:.2f}"

    def _known(self, metric: str) -> list[float]:
        """The metric of everybody who has it."""
        values = (r.metrics.get(metric) for r in self.records)
        return [value for value in values if value is not None]


def _number(value: tuple[float | None, str]) -> str:
    return "-" if value[0] is None else format(*value)


def rows(records: Sequence[Record]) -> list[Row]:
    """Records grouped into arms, in the order in which they come."""
    attacks = {json.dumps(r.attack.model_dump(), sort_keys=True) for r in records if r.attack.name != "none"}
    groups: dict[tuple[str, ...], list[Record]] = {}
    for r in sorted(records, key=_order):
        counters = [c.name for c in r.countermeasure if c.name != "none"]
        attack = [attack_label(r)] if len(attacks) > 1 and r.attack.name != "none" else []
        name = " + ".join([label(r), *counters, *attack])
        groups.setdefault((name, r.base, str(r.seed), json.dumps(r.provenance.get("protocol"))), []).append(r)
    return [Row(key[0], tuple(group)) for key, group in groups.items()]


def label(record: Record) -> str:
    """What an arm is called: "base" (not personalised), "clean", "noise 8/255", "aspl 8/255"."""
    if record.attack.name == "none":
        return "base"
    if record.of_another_person:
        return "another person"
    return "clean" if record.defense.name == "none" else f"{record.defense.name} {record.defense.budget:g}/255"


def attack_label(record: Record) -> str:
    """What an attack is called: its name, and its variant if it has several."""
    variant = record.attack.config.get("variant")
    return f"{record.attack.name} ({variant})" if variant else record.attack.name


def table(records: Sequence[Record]) -> Table:
    """The result table for a terminal of 80 columns: `report.md` has the columns that are left out here."""
    left_out = NOT_SHOWN if any(r.defense.name != "none" for r in records) else NOT_SHOWN | CLOAK
    shown = [index for index, name in enumerate(COLUMNS) if name not in left_out]
    made = Table(title=_title(records), box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in (COLUMNS[index] for index in shown):
        arm = name == "arm"  # the only text, and the only column that may be broken into lines
        made.add_column(name, justify="left" if arm else "right", no_wrap=not arm, overflow="fold")
    for row in rows(records):
        cells = row.cells()
        made.add_row(*(cells[index] for index in shown))
    return made


def _title(records: Sequence[Record]) -> str:
    attacks = dict.fromkeys(attack_label(r) for r in records if r.attack.name != "none")
    return f"{', '.join(attacks) or 'no attack'} on {records[0].base}, people of {records[0].data}"


def remarks(records: Sequence[Record]) -> list[str]:
    """What the numbers mean, and warnings that they may mean nothing."""
    known = next((r for r in records if r.thresholds), None)
    if known is None:
        return []
    t = known.thresholds
    lines = [
        f"ILR: share of generated pictures that pass for the person (judge: similarity >= {t['ilr']:.2f}, where "
        f"{t['far']:.1%} of strangers pass, {t['pairs']:.0f} pairs). Lower is better protection."
    ]
    for row in rows(records):
        leak = row.mean("ilr")
        if row.label.startswith("clean") and leak is not None and leak < VALID_LEAK:
            lines.append(
                f"Warning: {attack_label(row.records[0])} leaks only {leak:.2f} on clean photos; below {VALID_LEAK} it "
                "cannot show what a cloak does. Strengthen it (attack.steps, attack.learning_rate)."
            )
        if row.label.startswith("another person") and leak is not None and leak > 0.1:
            lines.append(
                f"Warning: made from another person's photos, {leak:.0%} of the pictures pass for these people."
            )
        if row.label.startswith("base") and leak is not None and leak > 0.1:
            lines.append(f"Warning: the base alone passes for these people in {leak:.0%} of its pictures.")
    return lines


def markdown(records: Sequence[Record]) -> str:
    """The report file: the table, the leak of every person, and what failed."""
    lines = [f"# CloakBench: {_title(records)}", "", *_grid(COLUMNS, [row.cells() for row in rows(records)]), ""]
    lines += [line for remark in remarks(records) for line in (remark, "")]
    arms = rows(records)
    people = list(dict.fromkeys(r.identity for r in records))
    lines += ["## ILR by person", ""]
    lines += _grid(("person", *(arm.label for arm in arms)), [[p, *(_leak(arm, p) for arm in arms)] for p in people])
    bad = [r for r in records if r.status != "ok"]
    if bad:
        lines += ["", "## Not ok", ""]
        lines += [f"- {r.identity}, {label(r)}: {r.status}: {_escape(r.reason)}" for r in bad]
    return "\n".join(lines) + "\n"


def _leak(arm: Row, person: str) -> str:
    found = [r for r in arm.records if r.identity == person]
    value = found[0].metrics.get("ilr") if found else None
    return "-" if value is None else f"{value:.2f}"


def _grid(header: Sequence[str], body: Sequence[Sequence[str]]) -> list[str]:
    def line(values: Sequence[str]) -> str:
        return "| " + " | ".join(map(_escape, values)) + " |"

    return [line(header), "|" + " --- |" * len(header), *map(line, body)]


def _escape(text: str) -> str:
    return text.replace("|", "\\|").replace("<", "&lt;").replace("\n", " ")


def _order(record: Record) -> tuple[int, str, float, str]:
    rank = {"none": 1, "noise": 2}.get(record.defense.name, 3)
    if record.of_another_person:
        rank = 0
    return (
        -1 if record.attack.name == "none" else rank,
        record.defense.name,
        record.defense.budget,
        record.attack.name,
    )


def main(arguments: Sequence[str]) -> int:
    """Print the table of a finished or running run."""
    console = Console()
    if len(arguments) != 1 or arguments[0].startswith("-"):
        console.print("usage: python -m bench.report runs/<run>")
        return 2
    records = load_all(Path(arguments[0]))
    if not records:
        raise BenchError(f"{arguments[0]} holds no records.", "Give a run's folder, the one that holds cells/.")
    console.print(table(records))
    for line in remarks(records):
        console.print(line)
    return 0


if __name__ == "__main__":
    from bench.cli import guarded

    sys.exit(guarded(main, sys.argv[1:]))
