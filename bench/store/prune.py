"""What of a store may be thrown away, and throwing it away while runs go on."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Iterable, Sequence
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError
from bench.store import Store
from bench.store.inventory import Item


def references(runs: Path) -> set[str]:
    """`<stage>/<key>` of everything that a record or a plan under `runs` names.

    Raises:
        BenchError: there is none, so that everything would seem superfluous; or one cannot be read.
    """
    files = [*runs.rglob("cells/[!.]*.json"), *runs.rglob("plan.json")]
    if not files:
        raise BenchError(f"There are no runs in {runs}: all outputs would be superfluous.", "Name the folder of runs.")
    found: set[str] = set()
    for file in files:
        try:
            found |= set(named(json.loads(file.read_text())))
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise BenchError(
                f"{file} is neither a record nor a plan: {error}", "Mend or delete it; nothing was thrown away."
            ) from error
    return found


def named(content: Any) -> Iterable[str]:
    """`<stage>/<key>` of what a plan or a record names; both by what they have in common over all versions."""
    if "cells" in content:
        yield from (f"{stage}/{key}" for cell in content["cells"] for stage, key in cell["keys"].items())
    else:
        yield from (f"{stage}/{facts['key']}" for stage, facts in content["stages"].items())


def superfluous(
    items: Sequence[Item],
    leased: Collection[str],
    referenced: Collection[str] | None = None,
    before: float | None = None,
    keep: int | None = None,
) -> list[Item]:
    """The outputs to throw away, oldest first.

    Args:
        items: everything in the store.
        leased: `<stage>/<key>` of what running runs need.
        referenced: of what is to stay; None: does not matter.
        before: only what was made before this time.
        keep: no more than it takes for the rest to have at most so many bytes; None: all.
    """
    found = list(items)
    if leased:
        needed = _needed(leased)
        found = [item for item in found if not needed(item)]
    if referenced is not None:
        needed = _needed(referenced)
        found = [item for item in found if item.unfinished or not needed(item)]
    if before is not None:
        found = [item for item in found if item.made < before]
    found.sort(key=lambda item: item.made)
    if keep is None:
        return found
    excess, chosen = sum(item.size for item in items) - keep, []
    for item in found:
        if excess <= 0:
            break
        chosen.append(item)
        excess -= item.size
    return chosen


def _needed(names: Collection[str]) -> Callable[[Item], bool]:
    """Whether an output is named, or of a kind that nothing names: class pictures, say, are shared by all runs."""
    kinds = {name.partition("/")[0] for name in names}
    return lambda item: f"{item.stage}/{item.key}" in names or item.stage not in kinds


def remove(store: Store, wanted: Sequence[Item]) -> list[Item]:
    """Throw outputs away, but for those that are being made; the ones that are gone."""
    return [item for item in wanted if store.remove(item.stage, item.key, item.path)]
