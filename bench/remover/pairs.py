"""Photos before and after cloaking, from runs and the store that they share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import BenchError, unknown_name
from bench.core.types import Pixels
from bench.results.stored_run import StoredRun

CLEAN = "none"


@dataclass(frozen=True)
class Pair:
    """A photo of somebody, and what a cloak made of it; of the cloak "none" both are the same.

    Attributes:
        person: whose photo it is.
        cloak: name of the defense.
        clean, cloaked: (h, w, 3) uint8.
    """

    person: str
    cloak: str
    clean: Pixels
    cloaked: Pixels


def read_pairs(runs: Sequence[Path], without: Collection[str] = ()) -> list[Pair]:
    """All pairs of finished cells, each output of a cloak once, in the order of the records.

    Args:
        runs: folders of runs.
        without: names of defenses to leave out.

    Raises:
        BenchError: there are none, a run has no clean photos, the store no longer has some, or nobody used a defense
            that is to be left out.
    """
    pairs, cloaks = [], set()
    for run in runs:
        stored = StoredRun.open(run)
        outputs = {r.stages["protect"].key: r for r in stored.records if r.attack.name != "none"}
        clean = {r.identity: stored.pictures(r, "protect") for r in outputs.values() if r.defense.name == CLEAN}
        for each in outputs.values():
            cloaks.add(each.defense.name)
            if each.defense.name in without:
                continue
            if each.identity not in clean:
                raise BenchError(
                    f"{run} has no clean photos of {each.identity}.",
                    "Run defense=none, too: suite.defenses=[none,...].",
                )
            photos = zip(clean[each.identity], stored.pictures(each, "protect"), strict=True)
            pairs += [Pair(each.identity, each.defense.name, before, after) for before, after in photos]
    for name in without:
        if name not in cloaks:
            raise unknown_name("cloak", name, sorted(cloaks))
    if not any(pair.cloak != CLEAN for pair in pairs):
        raise BenchError("There is nothing to learn: no photo is cloaked.", "Give runs with some defense.")
    return pairs
