"""What may be wrong with a run, read from its records: gates that forbid a conclusion, and checks that doubt one.

Each check says what it saw and what to do about it. A gradient of zero leaves no trace of its own in a record: what is
checked is its consequence, a cloak that equals the photo, or uses less than half of its budget.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from bench.report.analysis import RunAnalysis
from bench.report.sanity_checks.attack_checks import base_leaks, faceless, false_leaks, same_pictures, weak_attack
from bench.report.sanity_checks.cloak_checks import (
    attacked_recogniser,
    idle_cloak,
    no_better_than_noise,
    over_budget,
    saturated,
)
from bench.report.sanity_checks.finding import Finding
from bench.report.sanity_checks.run_checks import (
    doubtful_photos,
    failed_cells,
    few_people,
    halved_batches,
    several_conditions,
    shaky_threshold,
    skipped_cells,
)

CHECKS: tuple[Callable[[RunAnalysis], Iterator[Finding]], ...] = (
    failed_cells,
    skipped_cells,
    several_conditions,
    weak_attack,
    base_leaks,
    false_leaks,
    over_budget,
    idle_cloak,
    attacked_recogniser,
    no_better_than_noise,
    faceless,
    same_pictures,
    shaky_threshold,
    doubtful_photos,
    few_people,
    saturated,
    halved_batches,
)


def findings(analysis: RunAnalysis) -> list[Finding]:
    """All findings, errors first; each is told once, however many cells have it."""
    told = dict.fromkeys(finding for check in CHECKS for finding in check(analysis))
    return sorted(told, key=lambda finding: ("error", "warning", "note").index(finding.severity))
