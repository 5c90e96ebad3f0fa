"""How many people it takes to tell two methods apart.

python -m bench.power FILE.csv --metric ilr [--budget 8] [--difference 0.1] [--first A --second B]
python -m bench.power --spread 0.3 --difference 0.1

The spread of the paired differences comes from a table of scores (see `bench.stats`), of one pair of methods or of the
median pair, or is given.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Sequence
from itertools import combinations
from typing import Annotated

import numpy as np
from rich import box
from rich.table import Table

from bench.core.cli import guarded, ranged
from bench.core.errors import BenchError, unknown_name
from bench.core.paths import expanded
from bench.core.ranges import Count, Range, Weight
from bench.core.terminal import terminal
from bench.stats.comparison import Scores
from bench.stats.table import plain_budget, read, same_text
from bench.stats.variance import ALPHA, POWER, detectable, people_needed, power

Difference = Annotated[float, Range(ge=-1e6, le=1e6)]
PEOPLE = (5, 10, 20, 50, 100, 200)


def main(arguments: Sequence[str]) -> int:
    """Print what some numbers of people can find."""
    parser = ArgumentParser("bench.power", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("file", type=expanded, nargs="?", help="CSV: method,identity,budget,metric,value")
    parser.add_argument("--metric", help="of the file")
    parser.add_argument("--budget", help="of the file, grey levels of 255; 8/255 is 8")
    parser.add_argument("--first", help="a method of the file")
    parser.add_argument("--second", help="another")
    parser.add_argument("--spread", type=ranged(Weight), help="SD of the paired differences, instead of a file")
    parser.add_argument("--difference", type=ranged(Difference), default=0.1, help="true mean difference to find")
    parser.add_argument(
        "--pairs", type=ranged(Count), default=1, help="pairs of methods to compare, for the correction"
    )
    options = parser.parse_args(arguments)
    if options.difference == 0:
        raise BenchError("A difference of zero cannot be found.", "Give another --difference.")

    spread, alpha, difference = _spread(options), ALPHA / options.pairs, abs(options.difference)
    made = Table(title=f"paired differences of SD {spread:.3g}, two-sided level {alpha:.2g}", box=box.SIMPLE_HEAD)
    for name in ("people", f"finds with power {POWER:.0%}", f"power for {difference:g}"):
        made.add_column(name, justify="right")
    for people in PEOPLE:
        found = f"{detectable(spread, people, alpha):.2g}", f"{power(difference, spread, people, alpha):.0%}"
        made.add_row(str(people), *found)
    console = terminal()
    console.print(made)
    console.print(f"{difference:g} takes {people_needed(difference, spread, alpha)} people.")
    return 0


def _spread(options: Namespace) -> float:
    if (options.spread is None) == (options.file is None):
        raise BenchError("Either a file or --spread is needed, not both.", "See: python -m bench.power --help")
    if options.spread is not None:
        return float(options.spread)
    scores = _chosen(options)
    names = [same_text(name) for name in (options.first, options.second) if name is not None]
    for name in names:
        if name not in scores.methods:
            raise unknown_name("method", name, scores.methods)
    if len(names) == 1:
        raise BenchError("Two methods make a pair.", "Give --first and --second, or neither.")
    numbers = [scores.methods.index(name) for name in names]
    pairs = [numbers] if numbers else combinations(range(len(scores.methods)), 2)
    differences = [scores.values[:, a] - scores.values[:, b] for a, b in pairs]
    spreads = [np.nanstd(d, ddof=1) for d in differences if (~np.isnan(d)).sum() > 1]
    if not spreads:
        raise BenchError("No two methods have two people in common.", "Give a table with more scores.")
    return float(np.median(spreads))


def _chosen(options: Namespace) -> Scores:
    """The one table of the file that is meant."""
    tables = read(options.file, metric=options.metric)
    budget = None if options.budget is None else plain_budget(options.budget, "--budget: ")
    chosen = {key: scores for key, scores in tables.items() if budget in (None, key[1])}
    if len(chosen) != 1:
        known = "; ".join(f"--metric {metric} --budget {budget}" for metric, budget in tables)
        raise BenchError("Which metric and budget is not clear.", f"One of: {known}")
    return next(iter(chosen.values()))


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
