"""What README and documentation tell of results, made from the records in `results/`.

python -m docs.from_records [--check]

A block begins with `<!-- results: NAME -->`, ends with `<!-- end of results -->`, and is written by the function of
`BLOCKS` that has its name. `--check` writes nothing, and names the files that say something else than the records.
"""

from __future__ import annotations

import io
import re
import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from rich.console import Console

from bench.core.cli import guarded
from bench.core.errors import BenchError, unknown_name
from bench.report import formats, paper_claims, published, summary_table
from bench.report.analysis import RunAnalysis
from bench.results.arms import Arm
from bench.results.labels import attack_label
from bench.results.record import Record
from bench.stats.agreement import agreement
from bench.stats.comparison import Scores
from leaderboard.entries.reader import open_result

ROOT = Path(__file__).resolve().parents[1]
FILES = ("README.md", "docs/start/first-run.md", "docs/results.md", "bench/papers/README.md")
"""What has such blocks."""
ATTACKS = {"DreamBooth": "dreambooth", "FaceID": "ip_adapter (faceid)", "InstantID": "instantid"}
"""Of the people whom the model never saw."""
LAYER_1, BOTH_LAYERS = {"layers": [1], "adft": True, "dsur": True}, {"layers": [1, 2]}
"""Settings of `dladiff`: not its ablations."""
BLOCK = re.compile(r"(<!-- results: ([\w-]+) -->\n).*?(<!-- end of results -->)", re.DOTALL)


@dataclass(frozen=True)
class Line:
    """A row of a table: a defense at a budget, with the settings that tell it apart."""

    title: str
    defense: str
    budget: float = 16
    settings: Mapping[str, Any] = field(default_factory=dict)

    def has(self, record: Record) -> bool:
        """Whether a record belongs to it."""
        facts, budget = record.defense, 0 if self.defense == "none" else self.budget
        return (facts.name, facts.budget) == (self.defense, budget) and self.settings.items() <= facts.config.items()


def main(arguments: Sequence[str]) -> int:
    """Write all blocks; or check them, and return 1 if one says something else."""
    parser = ArgumentParser("docs.from_records", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="write nothing")
    check = parser.parse_args(arguments).check
    stale = [name for name in FILES if _differs(ROOT / name, check)]
    for name in stale:
        print(f"{name} {'does not say' if check else 'now says'} what the records say.")
    return int(check and bool(stale))


def filled(text: str) -> str:
    """A document with its blocks made anew.

    Raises:
        BenchError: a block's name is unknown, or there is no block.
    """

    def made(block: re.Match[str]) -> str:
        begin, name, end = block.groups()
        if name not in BLOCKS:
            raise unknown_name("results block", name, BLOCKS)
        return f"{begin}{BLOCKS[name]()}\n{end}"

    filled, count = BLOCK.subn(made, text)
    if not count:
        raise BenchError("There is no block of results.", "Write <!-- results: NAME --> and <!-- end of results -->.")
    return filled


def _differs(file: Path, check: bool) -> bool:
    """Whether a file's blocks differed from the records; they are mended unless this is a check."""
    before = file.read_text()
    after = filled(before)
    if after != before and not check:
        file.write_text(after)
    return after != before


# -- the blocks


def first_run() -> str:
    """What the default run would end with, of more people."""
    return _ending(records("reference-2-synthetic"))


def one_defense() -> str:
    """What a run with one defense and one attack ends with: people whom the model never saw."""
    arms = {"none": ("none",), "dreambooth": ("none", "noise", "antidreambooth")}
    return _ending([r for r in records("reference-2-held-out") if r.defense.name in arms.get(r.attack.name, ())])


def _ending(of: Sequence[Record]) -> str:
    """The table that a run ends with, as a terminal shows it."""
    text = io.StringIO()
    Console(file=text, width=80).print(summary_table.table(RunAnalysis(of)))
    lines = [line.rstrip() for line in text.getvalue().splitlines()]
    start = next(number for number, line in enumerate(lines) if line.startswith(" arm"))  # below the title
    return "\n".join(["```text", *(line for line in lines[start:] if line), "```"])


def encoders() -> str:
    """Which encoder a cloak must know: leaks by the judges and by a witness, and the cloaked photos."""
    packs = ("facelet-id-a", "facelet-id-b")
    lines = [
        *CONTROLS,
        *(Line(f"`dladiff` against {pack}", "dladiff", settings={"recognisers": [pack]}) for pack in packs),
        Line("`dladiff` against both", "dladiff", settings={"recognisers": list(packs)}),
    ]
    attacks = {"FaceID": "ip_adapter (faceid)", "InstantID": "instantid"}

    def row(line: Line) -> list[str]:
        arms = [_arm("reference-2-celeba-encoders", line=line, attack=attack) for attack in attacks.values()]
        rates = [f"{_mean(arm, 'ilr')} ({_mean(arm, 'likeness')}, {_interval(arm, 'likeness')})" for arm in arms]
        return [line.title, *rates, *(_mean(arm, "ilr.dlib") for arm in arms), _mean(arms[0], "photos_recognised")]

    header = ["", *attacks, *(f"{name} by dlib" for name in attacks), "photos recognised"]
    return _table(header, map(row, lines))


def held_out() -> str:
    """Leaks of people whom the model never saw, by the judges."""
    names = ("photoguard", "mist", "antidreambooth", "idprotector_pgd")
    lines = [
        *CONTROLS,
        *(Line(f"`{name}`", name) for name in names),
        Line("`dladiff`, layer 1", "dladiff", settings={"layers": [1]}),
        Line("`dladiff`", "dladiff", settings=BOTH_LAYERS),
    ]

    def row(line: Line) -> list[str]:
        arms = [_arm("reference-2-held-out", line=line, attack=attack) for attack in ATTACKS.values()]
        rates = [f"{_mean(arm, 'ilr')} ({_mean(arm, 'likeness')}, {_interval(arm, 'likeness')})" for arm in arms]
        return [line.title, *rates, _mean(arms[0], "photos_recognised"), _mean(arms[0], "psnr")]

    return _table(["", *ATTACKS, "photos recognised", "PSNR, dB"], map(row, lines))


def eight_people() -> str:
    """The leak rates of protocol 1 at 16/255, both sets of people together."""
    names = ("mist", "antidiffusion", "antidreambooth", "disdiff")
    lines = [
        *CONTROLS,
        *(Line(f"`{name}`", name) for name in names),
        Line("`dladiff`, layer 1", "dladiff", settings=LAYER_1),
        Line("`dladiff`", "dladiff", settings=BOTH_LAYERS),
    ]
    attacks = {"DreamBooth": "dreambooth", "LoRA": "lora", "FaceID": "ip_adapter (faceid)", "InstantID": "instantid"}
    people = ("reference-celebahq", "reference-vggface2")

    def row(line: Line) -> list[str]:
        return [line.title, *(_mean(_arm(*people, line=line, attack=attack), "ilr") for attack in attacks.values())]

    return _table(["", *attacks], map(row, lines))


def two_populations() -> str:
    """Whether five cloaks come in the same order on people of other data sets, by protocol 1 and by protocol 2."""
    seen = "reference-celebahq"
    elsewhere = [  # every cloak, and the entry of protocol 1 that has it
        (Line("antidreambooth", "antidreambooth"), seen),
        (Line("mist", "mist"), seen),
        (Line("photoguard", "photoguard"), "reference-lite-celebahq"),
        (Line("dladiff, layer 1", "dladiff", settings=LAYER_1), seen),
        (Line("dladiff", "dladiff", settings=BOTH_LAYERS), seen),
    ]
    here = [(line, "reference-2-held-out") for line, _ in elsewhere]

    def scores(attack: str, entries: Sequence[tuple[Line, str]]) -> Scores:
        by_line = [_arm(entry, line=line, attack=attack).values("likeness") for line, entry in entries]
        people = tuple(dict.fromkeys(person for values in by_line for person in values))
        table = np.array([[values.get(person, np.nan) for values in by_line] for person in people])
        return Scores(tuple(line.title for line, _ in entries), people, table, lower_is_better=True)

    def row(name: str) -> list[str]:
        found = agreement(scores(ATTACKS[name], here), scores(ATTACKS[name], elsewhere))
        turned = "; ".join(f"{better} before {worse}" for better, worse in found.turned)
        return [name, f"{found.tau:.2f}", f"{found.interval.low:.2f} to {found.interval.high:.2f}", turned or "none"]

    return _table(["", "tau", "95 %", "pairs that turn round"], map(row, ATTACKS))


def dladiff_paper() -> str:
    """The paper's tables beside what was measured, as `python -m bench.paper` has them."""
    text = paper_claims.report(published.load("dladiff"), records("reference-celebahq") + records("reference-vggface2"))
    return text[text.index("## ") :].strip()


CONTROLS = (Line("clean", "none"), Line("noise", "noise"))
BLOCKS: dict[str, Callable[[], str]] = {
    "first-run": first_run,
    "one-defense": one_defense,
    "encoders": encoders,
    "held-out": held_out,
    "eight-people": eight_people,
    "two-populations": two_populations,
    "dladiff-paper": dladiff_paper,
}

# -- from records


@cache
def records(entry: str) -> list[Record]:
    """All records of an entry."""
    return list(open_result(ROOT / "results" / entry).records())


def _arm(*entries: str, line: Line, attack: str, base: str = "facelet-1") -> Arm:
    """The cells of one row and one attack, over the people of all entries.

    Raises:
        ValueError: somebody is there twice: the line does not say which is meant.
    """
    every = [record for entry in entries for record in records(entry)]
    found = [r for r in every if r.base == base and attack_label(r) == attack and line.has(r)]
    return Arm(line.title, tuple(found), tuple(f"{record.data}/{record.identity}" for record in found))


def _mean(arm: Arm, metric: str) -> str:
    mean = arm.mean(metric)
    return "-" if mean is None else f"{mean:.2f}"


def _interval(arm: Arm, metric: str) -> str:
    interval = arm.interval(metric)
    return "-" if interval is None else f"{interval[0]:.2f} to {interval[1]:.2f}"


def _table(header: Sequence[str], rows: Any) -> str:
    return "\n".join(formats.markdown_table(header, list(rows), escape=str))


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
