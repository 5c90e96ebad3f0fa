"""Of every cloak and attack, whether it was made against what the attack uses."""

from __future__ import annotations

from collections import defaultdict

from bench.report.analysis import RunAnalysis
from bench.results.labels import attack_label
from bench.results.record import Record
from bench.results.seen import seen_text
from bench.stats.rule import CONTROLS

NOTE = (
    "What of an attack a cloak was made against: the attack's own base, face recogniser and image encoder, as far "
    "as it uses them. Where something is not, the cloak must transfer to what it has not seen."
)


def made_against(analysis: RunAnalysis) -> tuple[list[str], list[list[str]]]:
    """Header and lines of a table with a line for every cloak and a column for every attack; none without cloaks."""
    found: dict[str, dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    for group in analysis.by_attack.values():
        for arm in group:
            if arm.records[0].defense.name not in CONTROLS:
                found[arm.label][attack_label(arm.records[0])] += arm.records
    attacks = list(dict.fromkeys(attack for by_attack in found.values() for attack in by_attack))
    lines = [
        [label, *(seen_text(by_attack[attack]) if attack in by_attack else "-" for attack in attacks)]
        for label, by_attack in found.items()
    ]
    return (["cloak", *attacks], lines) if lines else ([], [])
