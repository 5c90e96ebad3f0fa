"""A paper's tables beside what was measured here, and which of its claims hold.

python -m bench.paper dladiff runs/<run> [runs/<other run> ...]

Published numbers come from other models and photos and cannot be compared by size, only by what they claim. A claim
holds if all its differences are shown to be on its side of zero, person by person, and fails if one is shown to be on
the other; no claim holds of a cloak that is not shown to beat noise, where there is noise.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.report.paper_claims import report
from bench.report.published import load
from bench.results.record import load_all


def main(arguments: Sequence[str]) -> int:
    """Print the report of one or several runs."""
    if len(arguments) < 2 or any(word.startswith("-") for word in arguments):
        print("usage: python -m bench.paper <paper> runs/<run> [runs/<other run> ...]")
        return 2
    paper = load(arguments[0])
    records = [record for folder in arguments[1:] for record in load_all(expanded(folder))]
    if not records:
        raise BenchError(f"{' '.join(arguments[1:])} holds no records.", "Give run folders, which hold cells/.")
    print(report(paper, records))
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
