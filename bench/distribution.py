"""How far a cloak moves what an attack generates, as a distribution: KID and Frechet distance to the clean arm.

python -m bench.distribution runs/<run> --extractor inception-2015-12-05.pt [--store store]

Pictures of all people are pooled; no distance is ever computed for one person. Features are kept in the store.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence

import numpy as np
from rich import box
from rich.table import Table

from bench.core import numbered
from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.core.terminal import terminal
from bench.core.types import Array
from bench.evaluation.instrument import described
from bench.report.comparisons import by_attack
from bench.results.arms import Arm
from bench.results.record import load_all
from bench.results.relative import setting_of
from bench.store import Store, default_root
from metrics.distribution import People, frechet, kid, kid_interval
from metrics.features import Features, extractor


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
        # What was made under other conditions has a clean arm of its own.
        clean = {
            setting_of(arm.records[0]): _features(arm, store, network)
            for arm in arms
            if arm.records[0].defense.name == "none"
        }
        if not clean:
            console.print(f"{attack}: no clean arm to compare with.")
            continue
        made = Table(title=f"{attack}, features of {network.name}, distance to the clean arm", box=box.SIMPLE_HEAD)
        for name in ("arm", "pictures", "KID", "95 %", "Frechet"):
            made.add_column(name, justify="left" if name == "arm" else "right")
        for arm in arms:
            reference = clean.get(setting_of(arm.records[0]))
            if reference is not None and arm.records[0].defense.name != "none":
                made.add_row(arm.label, *_distances(_features(arm, store, network), reference))
        console.print(made)
    return 0


def _features(arm: Arm, store: Store, network: Features) -> tuple[Array, People]:
    """(n, d) features of all pictures of an arm, and (n,) whose they are."""
    found, people = [], []
    for record in arm.records:
        key = record.stages["generate"].key
        if store.cost("generate", key) is None:
            raise BenchError(f"The store has no pictures of {record.identity}.", "Give the store of the run: --store.")
        pictures = numbered.load(store.path("generate", key), len(record.images))
        found.append(described(store, key, pictures, network)["features"])
        people += [record.identity] * len(pictures)
    return np.concatenate(found), np.array(people)


def _distances(left: tuple[Array, People], right: tuple[Array, People]) -> list[str]:
    """Pictures, KID, its interval and the Frechet distance as text; "-" where there are too few."""
    texts = [f"{len(left[0])}"]
    try:
        texts.append(f"{kid(left[0], right[0]):.4f}")
        interval = kid_interval(left[0], right[0], left[1], right[1])
        texts.append(f"{interval.low:.4f} to {interval.high:.4f}")
    except ValueError:
        texts += ["-"] * (3 - len(texts))
    try:
        texts.append(f"{frechet(left[0], right[0]):.2f}")
    except ValueError:
        texts.append("-")
    return texts


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
