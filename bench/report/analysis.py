"""What the records of a run say together, computed once: reports, tables, plots and loggers read it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property

from bench.report import comparisons, robustness
from bench.report.comparisons import AttackComparison, AttackerChoice
from bench.report.robustness import Grid
from bench.results.arms import Arm, arms
from bench.results.record import Record
from bench.results.relative import with_derived
from bench.stats.comparison import Scores
from bench.stats.table import Row


class RunAnalysis:
    """Arms, derived metrics and comparisons of some records; each is computed when it is first asked for, and kept.

    Args:
        records: of a run, or some of them.
        among: all records of the run's folder, from which the labels of arms must tell these apart; none: these.
    """

    def __init__(self, records: Sequence[Record], among: Sequence[Record] | None = None) -> None:
        self.records = list(records)
        self._among = among

    @cached_property
    def complete(self) -> list[Record]:
        """The records with the metrics that need other cells' records; of these is all that follows."""
        return with_derived(self.records)

    @cached_property
    def metrics(self) -> list[str]:
        """Names of the metrics that some record has a value of, in the order of `METRICS`."""
        return comparisons.metrics_of(self.complete)

    @cached_property
    def arms(self) -> list[Arm]:
        """All arms, controls first: the rows of the run's table."""
        return arms(self.complete, self._among)

    @cached_property
    def by_attack(self) -> dict[str, list[Arm]]:
        """The arms of every attack, after each countermeasure by itself, without the base and other people."""
        return comparisons.by_attack(self.complete)

    @cached_property
    def scores(self) -> dict[str, Scores]:
        """Attack, or the worst -> the scores that are compared."""
        return comparisons.scored(self.by_attack)

    @cached_property
    def comparisons(self) -> list[AttackComparison]:
        """What may be said of the arms of every attack, and of the worst."""
        return comparisons.compared(self.scores)

    @cached_property
    def attacker_choices(self) -> list[AttackerChoice]:
        """What leaks of every arm if the attacker may choose."""
        return comparisons.attacker_choices(self.by_attack)

    @cached_property
    def robustness(self) -> list[Grid]:
        """What countermeasures leave of protections."""
        return robustness.grids(self.records)

    def long_form(self) -> list[Row]:
        """One row per attack, metric, arm and person, as `python -m bench.stats` reads them.

        The attack is part of the metric's name, and the budget part of the method's.
        """
        return [
            Row(arm.label, person, "as named", f"{metric}/{attack}", value)
            for attack, group in self.by_attack.items()
            for metric in self.metrics
            for arm in group
            for person, value in arm.values(metric).items()
        ]
