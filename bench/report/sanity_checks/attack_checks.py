"""Whether attacks do what they are for: learn a person, and nobody else."""

from __future__ import annotations

from collections.abc import Iterator

from bench.report.analysis import RunAnalysis
from bench.report.sanity_checks.arm_kinds import attack_of, base_alone, clean
from bench.report.sanity_checks.finding import Finding
from bench.results.labels import attack_label, chain_label
from bench.results.relative import weakness

BASE_LEAK = 0.1
"""More leaks than this, where the person was never learned, mean that such faces come out anyway."""
FALSE_LEAK = 3
"""So many times the false-accept rate may pictures of one person pass for others."""
FACELESS = 0.25
"""More clean pictures without a face than this, and FDFR is about the attack."""


def weak_attack(analysis: RunAnalysis) -> Iterator[Finding]:
    """The clean arm must leak, or there is nothing to prevent; also after a countermeasure."""
    for arm in clean(analysis):
        leak, chain = arm.mean("ilr"), chain_label(arm.records[0])
        problem = "" if leak is None else weakness(leak)
        if problem and chain:
            yield Finding(
                "warning",
                f"After {chain}, {attack_of(arm)} leaks only {leak:.2f} on clean photos: too destructive to judge.",
                "What it leaks of cloaked photos says nothing of cloaks: weaken the countermeasure.",
            )
        elif problem:
            yield Finding(
                "error",
                f"{attack_of(arm)} {problem}",
                "Strengthen it (attack.steps, attack.learning_rate).",
            )


def base_leaks(analysis: RunAnalysis) -> Iterator[Finding]:
    """Who was never learned must not leak."""
    for arm in base_alone(analysis):
        if (leak := arm.mean("ilr") or 0) > BASE_LEAK:
            yield Finding(
                "warning",
                f"The base alone passes for these people in {leak:.0%} of its pictures.",
                "What passes here was not learned from the photos; choose other people, or a stricter protocol.far.",
            )


def false_leaks(analysis: RunAnalysis) -> Iterator[Finding]:
    """Pictures of one person must not pass for others much more often than the false-accept rate allows."""
    for arm in clean(analysis):
        rate, far = arm.mean("false_leak"), arm.records[0].thresholds.get("far")
        if rate is not None and far is not None and rate > FALSE_LEAK * far:
            yield Finding(
                "warning",
                f"{rate:.1%} of what {attack_of(arm)} makes of clean photos pass for others of the data set; {far:.1%} "
                "would by the false-accept rate.",
                "Its pictures look like many people, or these people like each other: read ilr_matched beside ILR.",
            )


def faceless(analysis: RunAnalysis) -> Iterator[Finding]:
    """The judge must find faces where there is no cloak."""
    for arm in clean(analysis):
        if (share := arm.mean("fdfr") or 0) > FACELESS:
            yield Finding(
                "warning",
                f"The judge finds no face in {share:.0%} of what {attack_of(arm)} makes of clean photos.",
                "FDFR and ILR then say more about the attack than about cloaks: strengthen it, or take more pictures.",
            )


def same_pictures(analysis: RunAnalysis) -> Iterator[Finding]:
    """Pictures of different noise must differ."""
    for record in analysis.records:
        if len({image.sha256 for image in record.images}) < len(record.images):
            yield Finding(
                "warning",
                f"{attack_label(record)} generated the same picture several times for {record.identity}.",
                "The model may have collapsed: look at sheet.png, and lower attack.learning_rate or attack.steps.",
            )
            return
