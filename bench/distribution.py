"""How far a cloak moves what an attack generates, as a distribution: KID and Frechet distance to the clean arm.

python -m bench.distribution runs/<run> --extractor inception-2015-12-05.pt [--store store]

Pictures of all people are pooled; no distance is ever computed for one person. Features are kept in the store.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

from rich import box
from rich.table import Table

from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.core.terminal import terminal
from bench.evaluation.distribution import Distance, distances
from bench.report.comparisons import by_attack
from bench.results.record import load_all
from bench.store import Store, default_root
from metrics.features import extractor


def main(arguments: Sequence[str]) -> int:
    """Print the distance of every arm to the clean arm of its attack."""
    parser = ArgumentParser("bench.distribution", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("run", type=expanded, help="folder of a run")
    parser.add_argument("--extractor", required=True, help="inception-2015-12-05.pt, or module:name of a Features")
    parser.add_argument("--store", help="default: $CLOAKBENCH_STORE, else store/")
    options = parser.parse_args(arguments)
    records = [r for r in load_all(options.run) if r.status == "ok"]
    if not records:
        raise BenchError(f"{options.run} holds no finished records.", "Give a run's folder, the one that holds cells/.")
    network, store = extractor(str(expanded(options.extractor))), Store(default_root(options.store))
    console = terminal()
    for attack, arms in by_attack(records).items():
        found = distances(arms, store, network)
        if found is None:
            console.print(f"{attack}: no clean arm to compare with.")
            continue
        table = Table(title=f"{attack}, features of {network.name}, distance to the clean arm", box=box.SIMPLE_HEAD)
        for name in ("arm", "pictures", "KID", "95 %", "Frechet"):
            table.add_column(name, justify="left" if name == "arm" else "right")
        for distance in found:
            table.add_row(distance.arm, *_texts(distance))
        console.print(table)
    return 0


def _texts(distance: Distance) -> list[str]:
    """What a row says; "-" where there are too few."""
    interval = distance.interval
    return [
        f"{distance.pictures}",
        "-" if distance.kid is None else f"{distance.kid:.4f}",
        "-" if interval is None else f"{interval.low:.4f} to {interval.high:.4f}",
        "-" if distance.frechet is None else f"{distance.frechet:.2f}",
    ]


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
