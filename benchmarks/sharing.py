"""What a sweep costs, beside a command for each pair of defense and attack, and beside every cell alone.

    python -m benchmarks.sharing outputs/<run>

Nothing is computed again: a run's records say what every stage took, and which outputs are the same. A command for one
pair (`python -m bench defense=... attack=...`) does the controls again, since it shows them beside the cloak.
"""

from __future__ import annotations

import sys
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from rich.console import Console
from rich.table import Table

from bench.results.labels import arm_label, attack_key, chain_key
from bench.results.record import Record, StageFacts, load_all
from bench.stats.rule import CONTROLS

Outputs = dict[str, StageFacts]
"""Content key -> what the output cost."""

Cost = Callable[[Iterable[StageFacts]], float]


def main(words: Sequence[str]) -> int:
    """Print seconds and passes of the UNet by stage, the three ways."""
    if len(words) != 1:
        print(__doc__)
        return 2
    records = [record for record in load_all(Path(words[0])) if record.status == "ok"]
    table = Table("stage", title=f"{len(records)} cells", title_justify="left")
    for way in ("one sweep", "a command each", "times", "cells alone", "times"):
        table.add_column(way, justify="right")
    for stage in dict.fromkeys(name for record in records for name in record.stages):
        table.add_row(stage, *compared(records, [stage], seconds))
    table.add_section()
    table.add_row("all, seconds", *compared(records, None, seconds))
    table.add_row("all, UNet passes", *compared(records, None, passes))
    Console().print(table)
    return 0


def compared(records: Sequence[Record], stages: Sequence[str] | None, cost: Cost) -> list[str]:
    """What some stages cost the three ways, the others as multiples of the first."""
    once = cost(outputs(records, stages).values())
    commands = sum(cost(outputs(some, stages).values()) for some in by_command(records))
    alone = sum(cost(outputs([record], stages).values()) for record in records)
    ratios = [f"{other / once:.1f}" if once else "" for other in (commands, alone)]
    return [f"{once:,.0f}", f"{commands:,.0f}", ratios[0], f"{alone:,.0f}", ratios[1]]


def outputs(records: Iterable[Record], stages: Sequence[str] | None = None) -> Outputs:
    """Every output of some stages (None: of all) once, however many records have it."""
    return {f.key: f for r in records for name, f in r.stages.items() if stages is None or name in stages}


def by_command(records: Sequence[Record]) -> list[list[Record]]:
    """The records of each pair of a cloak and an attack, with those of the controls against that attack."""
    controls, cloaks = defaultdict(list), defaultdict(list)
    for record in records:
        attack = attack_key(record), chain_key(record)
        if record.defense.name in CONTROLS:
            controls[attack].append(record)
        else:
            cloaks[attack, arm_label(record)].append(record)
    return [controls[attack] + some for (attack, _), some in cloaks.items()]


def seconds(found: Iterable[StageFacts]) -> float:
    """Computing time."""
    return sum(facts.seconds for facts in found)


def passes(found: Iterable[StageFacts]) -> int:
    """Samples through the UNet."""
    return sum(sum((facts.passes or {}).get("unet", {}).values()) for facts in found)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
