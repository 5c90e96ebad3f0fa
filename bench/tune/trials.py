"""One trial: a cloak with some settings, against several attacks, on the people kept for tuning."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from bench.api import evaluate
from bench.core.errors import BenchError
from bench.core.meaning import written
from bench.results.labels import attack_label
from bench.results.leaks import likeness_in_halves
from bench.results.record import CLOAK, Record


@dataclass(frozen=True)
class Trial:
    """What a trial found.

    Attributes:
        number: 0 is the preset.
        settings: those that differ from the preset.
        chosen_by: person -> likeness by one half of the pictures, which the winner is chosen by; mean over attacks.
        scored_by: the same by the other half, which had no part in the choice.
        attacks: attack -> mean likeness over people, by all pictures.
        seconds: of a person's cloak, median over people.
    """

    number: int
    settings: Mapping[str, Any]
    chosen_by: Mapping[str, float]
    scored_by: Mapping[str, float]
    attacks: Mapping[str, float]
    seconds: float

    @property
    def choice(self) -> float:
        """What the winner has the least of."""
        return float(np.mean([*self.chosen_by.values()]))

    @property
    def score(self) -> float:
        """Mean likeness over attacks and people, by the pictures that the choice did not see."""
        return float(np.mean([*self.scored_by.values()]))


def run_trial(
    number: int, defense: Mapping[str, Any], attacks: Sequence[Any], words: Sequence[str], out: Path
) -> Trial:
    """Run a trial, or go on with it.

    Args:
        number: 0 is the preset.
        defense: its name, and the settings of the trial.
        attacks: names, or names with settings, as in a suite.
        words: what else the run is told: data, budget, effort.
        out: the run's folder.

    Raises:
        BenchError: the run cannot be, or a cell of it failed.
    """
    grid = [f"suite.defenses=[{written(dict(defense))}]", f"suite.attacks={written(list(attacks))}"]
    made = evaluate(defense=defense["name"], overrides=[*grid, *words], out=out)
    cells = [record for record in made.cells if record.attack.name != "none"]
    if failed := [record for record in cells if record.status != "ok"]:
        raise BenchError(
            f"Trial {number}: {len(failed)} of {len(cells)} cells failed, the first: {failed[0].reason}",
            f"See {out}; the same command tries them again.",
        )
    return summary(number, {k: v for k, v in defense.items() if k != "name"}, cells)


def summary(number: int, settings: Mapping[str, Any], cells: Sequence[Record]) -> Trial:
    """What the measured cells of a trial say."""
    even, odd, attacks = (defaultdict[str, list[float]](list) for _ in range(3))
    for record in cells:
        if (halves := likeness_in_halves(record)) is None:
            raise BenchError(f"{record.identity} has no likeness: photos of other people resemble the person more.")
        even[record.identity].append(halves.even)
        odd[record.identity].append(halves.odd)
        attacks[attack_label(record)].append(halves.whole)
    seconds = {r.identity: sum(r.stages[stage].seconds for stage in CLOAK if stage in r.stages) for r in cells}
    return Trial(number, settings, _means(even), _means(odd), _means(attacks), float(np.median([*seconds.values()])))


def _means(values: Mapping[str, Sequence[float]]) -> dict[str, float]:
    return {name: float(np.mean(some)) for name, some in values.items()}
