"""Photos before and after cloaking, from runs and the store that they share."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from pathlib import Path

from bench.core import numbered
from bench.core.errors import BenchError, unknown_name
from bench.core.types import Pixels
from bench.results import manifest, record
from bench.results.record import Record
from bench.store import Store, default_root

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
        records = [r for r in record.load_all(run) if r.status == "ok"] if run.is_dir() else []
        if not records:
            raise BenchError(f"{run}: there are no finished cells in {run / 'cells'}.", "Name the folder of a run.")
        plan = manifest.load(run)
        store = Store(Path(plan.store) if plan else default_root())
        outputs = {r.stages["protect"].key: r for r in records if r.attack.name != "none"}
        clean = {r.identity: _photos(store, r) for r in outputs.values() if r.defense.name == CLEAN}
        for each in outputs.values():
            cloaks.add(each.defense.name)
            if each.defense.name in without:
                continue
            if each.identity not in clean:
                raise BenchError(
                    f"{run} has no clean photos of {each.identity}.",
                    "Run defense=none, too: suite.defenses=[none,...].",
                )
            photos = zip(clean[each.identity], _photos(store, each), strict=True)
            pairs += [Pair(each.identity, each.defense.name, before, after) for before, after in photos]
    for name in without:
        if name not in cloaks:
            raise unknown_name("cloak", name, sorted(cloaks))
    if not any(pair.cloak != CLEAN for pair in pairs):
        raise BenchError("There is nothing to learn: no photo is cloaked.", "Give runs with some defense.")
    return pairs


def _photos(store: Store, cell: Record) -> list[Pixels]:
    entry = store.find("protect", cell.stages["protect"].key)
    if entry is None:
        raise BenchError(
            f"{store.root} no longer has the photos of {cell.identity} under {cell.defense.name}.",
            "Repeat the run's command: it makes them again.",
        )
    return numbered.load(entry.path)
