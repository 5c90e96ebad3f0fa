"""An entry beside the controls and the rows that are trusted, as Markdown: what a reviewer wants to see first."""

from __future__ import annotations

from collections.abc import Container, Iterator, Sequence
from pathlib import Path

import numpy as np

from bench.core.errors import BenchError, unknown_name
from bench.core.types import Array
from bench.report import formats
from bench.results.leaks import leak_rule
from bench.stats import mean_interval
from bench.stats.comparison import Pair, Scores, better, worst_attack
from bench.stats.rule import Judged, judge, verdict
from leaderboard.entries.reader import open_all
from leaderboard.entries.strict_json import clip
from leaderboard.site.board import ASIDE, Group, Row
from leaderboard.site.grouping import groups
from leaderboard.site.measures import HALVES, MEASURES
from leaderboard.site.page_data import Layout, scores

MEASURE = MEASURES[0]
HEAD = ("row", "people", MEASURE.name, "95 %", "this one - row", "95 %", "p, all together", "what may be said")

Spot = tuple[str, str]
"""Attack and countermeasures."""


def against(root: Path, name: str) -> str:
    """Every row of an entry by its worst attack on each person, and its difference to the controls and the trusted.

    Args:
        root: folder of entries, this one among them.
        name: the entry's id.

    Raises:
        BenchError: no usable entry has that id.
    """
    results, problems = open_all(root)
    found, used, more = groups(results)
    by_id = {result.entry.id: result for result in used}
    if name not in by_id:
        said = next((str(p) for p in (*problems, *more) if p.file.partition("/")[0] in (name, f"{name}.zip")), None)
        raise BenchError(said, "Mend it first.") if said else unknown_name("entry", clip(name), list(by_id))
    lines = [f"## {_safe(by_id[name].entry.title or name)}"]
    for group in found:
        layout = Layout(group)
        for row in layout.rows:
            if not row.control and any(cell.entry == name for cell in row.all()):
                lines += ["", f"### {_safe(layout.labels[row.key])}, {_safe(group.name)}", ""]
                lines += _section(layout, row, [r for r in layout.rows if _beside(r, row, group)])
    return "\n".join(lines) + "\n"


def _beside(other: Row, row: Row, group: Group) -> bool:
    """Whether a row says something of another one: clean photos, and what has the same budget and can be believed.

    Of controls those that its entry has, where these differ from everybody's; of cloaks those that the maintainers ran.
    """
    if other is row or other.label in ASIDE:
        return False
    if other.control:
        own = other.key if other.entry else (*other.key, row.entry)
        believed = other.entry == (row.entry if own in group.rows else "")
    else:
        believed = any(cell.verified for cell in other.all())
    return believed and (other.label == "clean" or other.record.defense.budget == row.record.defense.budget)


def _section(layout: Layout, row: Row, others: Sequence[Row]) -> Iterator[str]:
    """A row and those beside it, by the worst of what it was tried against."""
    spots = sorted({(attack, chain) for attack, chain, _ in row.cells})
    people = sorted({person for _, _, person in row.cells})
    rows = [row, *others]
    own = {row.entry, *(cell.entry for cell in row.all())}
    values = np.array([[_worst(one, spots, person, own) for one in rows] for person in people])
    noise = next((i for i, one in enumerate(rows) if one.record.defense.name == "noise"), None)
    table = Scores(
        tuple(layout.labels[one.key] for one in rows),
        tuple(people),
        values,
        MEASURE.lower,
        controls=frozenset(i for i, one in enumerate(rows) if one.control),
        noise={} if noise is None else {i: noise for i, one in enumerate(rows) if not one.control},
    )
    judged = judge(table, about=0)
    counted = (
        f"the worst of {len(spots)} attacks on each person (chosen by one half of the pictures, scored by the other)"
        if len(spots) > 1
        else "one attack"
    )
    yield f"By {counted}. When a picture passes for the person: {leak_rule(layout.group.threshold)}."
    yield ""
    lines = [
        [label, *_mean(values[:, number]), *_said(table, judged, number)] for number, label in enumerate(table.methods)
    ]
    yield from formats.markdown_table(HEAD, lines, _safe)


def _worst(row: Row, spots: Sequence[Spot], person: str, own: Container[str]) -> float:
    """The score of one person; NaN if anything is missing: what was not tried was not survived.

    Counted are cells that the maintainers ran, and those of its own entries.
    """
    cells = [row.cells.get((*spot, person), ()) for spot in spots]
    known = [scores([cell for cell in found if cell.verified or cell.entry in own]) for found in cells]
    if len(known) == 1:
        return _or_nan(known[0][MEASURE.key])
    halves = np.array([[_or_nan(one[half]) for one in known] for half in HALVES])
    return float(worst_attack(halves, MEASURE.lower))


def _or_nan(value: float | None) -> float:
    return float("nan") if value is None else value


def _mean(values: Array) -> list[str]:
    """People, mean and interval."""
    known = values[~np.isnan(values)]
    if not len(known):
        return ["0", "incomplete", ""]
    if len(known) == 1:
        return ["1", f"{known.mean():.2f}", ""]
    low, high = mean_interval(known, bounds=(MEASURE.low, MEASURE.high))
    return [str(len(known)), f"{known.mean():.2f}", f"{low:.2f} to {high:.2f}"]


def _said(scores: Scores, judged: Judged, number: int) -> list[str]:
    """The difference of the first row to another one, and what may be said of it."""
    asked = (*judged.against_noise, *judged.pairs)
    pair = next((pair for pair in asked if (pair.first, pair.second) == (0, number)), None)
    if pair is None:
        return ["", "", "", _not_asked(scores, judged, number)]
    low, high = pair.interval
    return [f"{pair.difference:+.2f}", f"{low:+.2f} to {high:+.2f}", f"{pair.adjusted:.3f}", _words(scores, pair)]


def _not_asked(scores: Scores, judged: Judged, number: int) -> str:
    """Why two rows were not compared."""
    if number == 0 or number in scores.controls:
        return ""
    lacking = [scores.methods[n] for n in (0, number) if n not in judged.passed]
    return f"not asked: {' and '.join(lacking)} not shown to beat noise" if lacking else ""


def _words(scores: Scores, pair: Pair) -> str:
    if not pair.separable or not pair.two_sided:
        return verdict(pair)
    return "this one protects better" if better(scores, pair)[0] == 0 else "the row protects better"


def _safe(text: str) -> str:
    """What a stranger wrote, as text that no Markdown obeys."""
    return "".join(f"\\{c}" if c in "\\`*[]|~<>&#!" else c for c in clip(text))
