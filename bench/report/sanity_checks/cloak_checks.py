"""Whether cloaks do what they say: within their budget, more than noise, and without having seen the judge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import PurePath

from bench.report.analysis import RunAnalysis
from bench.report.comparisons import WORST
from bench.report.sanity_checks.arm_kinds import cloaks
from bench.report.sanity_checks.finding import Finding
from bench.results.labels import attack_label
from bench.results.leaks import judges_of
from bench.stats.rule import SCORE

SATURATED = 0.02
"""This near to nothing or everything, leak rates cannot rank."""


def no_better_than_noise(analysis: RunAnalysis) -> Iterator[Finding]:
    """A cloak must beat noise of the same budget, person by person."""
    for compared in analysis.comparisons:
        attack, open_questions, people = compared.attack, [], set[int]()
        for pair in compared.judged.against_noise:
            if pair.separable or attack == WORST:
                continue
            cloak = compared.scores.methods[pair.first]
            if pair.difference >= 0:
                yield Finding(
                    "warning",
                    f"Noise of the same budget protects as well as {cloak} against {attack} "
                    f"({-pair.difference:+.2f} {SCORE}).",
                    "Its effect is not adversarial: give it more steps, or look for a bug.",
                )
            else:
                open_questions.append(f"{cloak} ({-pair.difference:.2f} less {SCORE}, p {pair.adjusted:.2g})")
                people.add(pair.people)
        if open_questions:
            yield Finding(
                "warning",
                f"Against {attack}, noise of the same budget may protect as well as {', '.join(open_questions)}, "
                f"by a test over {max(people)} people.",
                "Take more people: python -m bench.power says how many.",
            )


def over_budget(analysis: RunAnalysis) -> Iterator[Finding]:
    """Nothing may exceed its budget."""
    for arm in analysis.arms:
        worst = max((r.metrics.get("linf") or 0) - r.defense.budget for r in arm.records)
        if worst > 0 and arm.records[0].defense.name != "none":
            yield Finding(
                "error",
                f"{arm.label} exceeds its budget by {worst:g} grey levels.",
                "Compare it with methods of its true budget.",
            )


def idle_cloak(analysis: RunAnalysis) -> Iterator[Finding]:
    """A cloak must change the photos."""
    for arm in cloaks(analysis):
        changes = [r.metrics.get("linf") for r in arm.records if r.status == "ok" and r.defense.budget >= 1]
        known = [change for change in changes if change is not None]
        if known and min(known) == 0:
            equal = known.count(0)
            yield Finding(
                "error",
                f"{arm.label} left the photos of {equal} of {len(known)} people as they were.",
                "Its gradient or its step size is zero, or it returned its input.",
            )
        elif known and max(known) < arm.records[0].defense.budget / 2:
            yield Finding(
                "warning",
                f"{arm.label} changes no value by more than {max(known):g} grey levels, less than half of its budget.",
                "Its gradient may vanish, or its steps be too few or too small.",
            )


def attacked_recogniser(analysis: RunAnalysis) -> Iterator[Finding]:
    """The judge must not have been attacked; of witnesses one should know."""
    for record in analysis.records:
        settings = [record.surrogates, record.defense.config, record.attack.config]
        if seen := [judge for judge in judges_of(record) or ("dlib",) if judge in json.dumps(settings).lower()]:
            yield Finding(
                "error",
                f"{record.defense.name} or {record.attack.name} was set to use {seen[0]}, which is a judge.",
                f"Take its settings that name {seen[0]} away: a judge that was attacked judges nothing.",
            )
        named = [PurePath(str(source)).name for source in record.defense.config.get("recognisers") or []]
        if witnesses := [name for name in named if f"ilr.{name}" in record.thresholds]:
            yield Finding(
                "note",
                f"{record.defense.name} attacks {', '.join(witnesses)}.",
                f"Read {', '.join(f'ilr.{name}' for name in witnesses)} as a check of the cloak; the judges, which "
                "nobody attacks, say what it is worth.",
            )


def saturated(analysis: RunAnalysis) -> Iterator[Finding]:
    """If every cloak leaks nothing, or everything, none is better."""
    leaks: dict[str, list[float]] = {}
    for arm in cloaks(analysis):
        if (leak := arm.mean("ilr")) is not None:
            leaks.setdefault(attack_label(arm.records[0]), []).append(leak)
    for attack, values in leaks.items():
        if len(values) > 1 and (max(values) <= SATURATED or min(values) >= 1 - SATURATED):
            nothing = max(values) <= SATURATED
            yield Finding(
                "warning",
                f"Against {attack}, all {len(values)} cloaks leak {'nothing' if nothing else 'everything'}: ILR cannot "
                "rank them.",
                "Lower the budget, or strengthen the attack." if nothing else "Raise the budget.",
            )
