"""What a table of person-by-person scores can and cannot show.

python -m bench.stats FILE.csv [--metric NAME] [--higher NAME ...] [--lower NAME ...]
                               [--pairs | --against METHOD | --beside OTHER.csv]
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Mapping, Sequence

from rich import box
from rich.table import Table

from bench.core.cli import guarded
from bench.core.errors import BenchError, unknown_name
from bench.core.paths import expanded
from bench.core.terminal import terminal
from bench.stats.agreement import agreement
from bench.stats.comparison import Pair, Ranking, Scores, compare, ranking
from bench.stats.rule import Judged, judge, verdict
from bench.stats.summary import COLUMNS, rows, sentences
from bench.stats.table import Key, read, same_text
from metrics import METRICS, plain


def main(arguments: Sequence[str]) -> int:
    """Print the analysis of every metric and budget of a file."""
    parser = ArgumentParser("bench.stats", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("file", type=expanded, help="CSV: method,identity,budget,metric,value; one row per person")
    parser.add_argument("--metric", help="only this metric")
    for more, less in (("higher", "more"), ("lower", "less")):
        meaning = f"metrics of which {less} is better, whatever its declaration says"
        parser.add_argument(f"--{more}", nargs="+", default=[], metavar="NAME", help=meaning)
    shown = parser.add_mutually_exclusive_group()
    shown.add_argument("--pairs", action="store_true", help="list every pair of methods")
    shown.add_argument("--against", metavar="METHOD", help="compare all with this one and ask nothing else")
    shown.add_argument("--beside", type=expanded, metavar="FILE", help="scores of other people: are the orders alike?")
    options = parser.parse_args(arguments)
    console = terminal()
    against = options.against and same_text(options.against)
    tables = read(options.file, options.higher, options.metric, lower=options.lower)
    if options.beside:
        others = read(options.beside, options.higher, options.metric, lower=options.lower)
        console.print(_agreements(tables, others))
        return 0
    for (metric, budget), scores in tables.items():
        better = "lower" if scores.lower_is_better else "higher"
        title = f"{metric} at budget {budget} ({better} is better)"
        if against:
            if against not in scores.methods:
                raise unknown_name("method", against, scores.methods)
            one = scores.methods.index(against)
            asked = [(number, one) for number in range(len(scores.methods)) if number != one]
            console.print(_pairs(scores, compare(scores, asked), title))
            continue
        judged, order = judge(scores), ranking(scores)
        console.print(_table(title, scores, judged, order))
        for line in sentences(scores, judged, order):
            console.print(line)
        if options.pairs:
            if judged.against_noise:
                console.print(_pairs(scores, judged.against_noise, "methods against noise"))
            console.print(_pairs(scores, judged.pairs, "pairs of these" if judged.against_noise else "pairs"))
        console.print()
    named = set(map(same_text, (*options.higher, *options.lower)))
    if unknown := {name: None for name, _ in tables if not METRICS.find(name) and not {name, plain(name)} & named}:
        names = ", ".join(unknown)
        console.print(f"The better way is not known of {names}: less was taken as better. --higher and --lower say it.")
    return 0


def _table(title: str, scores: Scores, judged: Judged, order: Ranking | None) -> Table:
    made = _columns(title, COLUMNS, words=("method", "group", "said"))
    for row in rows(scores, judged, order):
        made.add_row(*row)
    return made


def _pairs(scores: Scores, pairs: Sequence[Pair], title: str) -> Table:
    names = ("first", "second", "people", "difference", "95 %", "p", "together", "said")
    made = _columns(f"{title} (together: p of all these questions at once)", names, words=("first", "second", "said"))
    for pair in sorted(pairs, key=lambda p: p.p):
        made.add_row(
            scores.methods[pair.first],
            scores.methods[pair.second],
            str(pair.people),
            f"{pair.difference:+.3f}",
            f"{pair.interval.low:+.3f} to {pair.interval.high:+.3f}",
            f"{pair.p:.2g}",
            f"{pair.adjusted:.2g}",
            verdict(pair),
        )
    return made


def _agreements(tables: Mapping[Key, Scores], others: Mapping[Key, Scores]) -> Table:
    """How far the orders of two files agree, for every metric and budget that both have.

    Raises:
        BenchError: they have none in common, or none with enough methods and people.
    """
    names = ("metric", "budget", "methods", "people", "tau", "95 %", "the other way round")
    made = _columns("orders of two populations (Kendall's tau)", names, words=("metric", "the other way round"))
    shared = [key for key in tables if key in others]
    if not shared:
        raise BenchError("The two files have no metric and budget in common.", "They have to be called the same.")
    lacking: list[BenchError] = []
    for key in shared:
        try:
            found = agreement(tables[key], others[key])
        except BenchError as error:
            lacking.append(error)
            continue
        made.add_row(
            *key,
            str(len(found.methods)),
            " and ".join(map(str, found.people)),
            f"{found.tau:.2f}",
            f"{found.interval.low:.2f} to {found.interval.high:.2f}",
            "; ".join(f"{better}, {worse}" for better, worse in found.turned) or "-",
        )
    if not made.rows:
        raise lacking[0]
    if lacking:
        made.caption = f"left out: {len(lacking)} that too few methods or people have on both sides"
    return made


def _columns(title: str, names: Sequence[str], words: Sequence[str]) -> Table:
    """An empty table; where it is too wide, words are broken and numbers are not."""
    made = Table(title=title, box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    for name in names:
        made.add_column(name, justify="left" if name in words else "right", no_wrap=name not in words, overflow="fold")
    return made


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
