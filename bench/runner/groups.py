"""Which cells' fits share a pass (`fits_together`)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

from bench.runner.plan import Cell


def places(cell: Cell, together: int) -> int:
    """How many fits the batch has room for that this cell's is in. Most attacks train all weights, or none."""
    return together if cell.attack.instance.stacks else 1


def groups(planned: Sequence[Cell], together: int) -> dict[str, list[Cell]]:
    """Cell id -> the cells of its batch, itself among them, where there are several: in the order of the plan.

    They have one attack, one base and equally many photos. Clean and cloaked ones may be mixed.
    """
    alike: dict[tuple[str, str, int], list[Cell]] = defaultdict(list)
    for cell in planned:
        if not cell.skip and places(cell, together) > 1:
            alike[str(cell.attack.facts()), cell.model.model_dump_json(), len(cell.identity.protect)].append(cell)
    batches = [cells[at : at + together] for cells in alike.values() for at in range(0, len(cells), together)]
    return {cell.id: batch for batch in batches for cell in batch}
