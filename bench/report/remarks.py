"""What is said below the table of a run: what its numbers mean, what may be wrong with it, and licences that bind."""

from __future__ import annotations

from collections.abc import Sequence

from bench.models.weights.published import PACKS, RESEARCH
from bench.report.analysis import RunAnalysis
from bench.report.comparisons import false_leaks, leaking
from bench.report.sanity_checks import findings
from bench.results.labels import ConditionLabels
from bench.results.leaks import leak_rule
from bench.results.record import Record
from bench.stats import summary


def remarks(analysis: RunAnalysis) -> list[str]:
    """What the numbers mean, what can be told apart, what may be wrong with the run, and licences that bind."""
    lines = meaning(analysis.records)
    if clean := leaking(analysis.by_attack):
        shares = ", ".join(f"{leak} of {people} ({attack})" for attack, (leak, people) in clean.items())
        lines.append(f"People whose clean photos leak at all, of whom alone a cloak can show anything: {shares}.")
    if rates := false_leaks(analysis.by_attack):
        told_rates = ", ".join(f"{rate:.1%} ({attack})" for attack, rate in rates.items())
        lines.append(
            f"False leaks, of pictures of clean photos that pass for others of the data set: {told_rates}"
            f"{_nominal(analysis.records)}."
        )
    told: dict[str, list[str]] = {}
    for compared in analysis.comparisons:
        told.setdefault(summary.counts(compared.scores, compared.judged), []).append(compared.attack)
    lines += [f"{', '.join(attacks)}: {counts} (report.md)." for counts, attacks in told.items()]
    return lines + [str(finding) for finding in findings(analysis)] + _bound(analysis.records)


def meaning(records: Sequence[Record]) -> list[str]:
    """What the leak rate is; nothing if no record states what it rests on."""
    judged = "; ".join(_judged(records))
    told = f"ILR: share of generated pictures that pass for the person ({judged}). Lower is better protection."
    return [told] if judged else []


def beside(records: Sequence[Record], every: Sequence[Record]) -> list[str]:
    """Under which other conditions the folder of some records holds results."""
    told = ConditionLabels(every)
    own = dict.fromkeys(told.texts(r) for r in records)
    others = dict.fromkeys(texts for r in every if (texts := told.texts(r)) not in own)
    if not others:
        return []
    here, there = (" and ".join(", ".join(texts) for texts in of) for of in (own, others))
    return [f"The folder also holds results made with {there}; these are with {here}. report.md keeps them apart."]


def _nominal(records: Sequence[Record]) -> str:
    """What false leaks would be if nobody's pictures looked like anybody else."""
    rates = sorted({r.thresholds["far"] for r in records if "far" in r.thresholds})
    return f"; {' or '.join(f'{rate:.1%}' for rate in rates)} would by the false-accept rate" if rates else ""


def _judged(records: Sequence[Record]) -> list[str]:
    """What the leak rates rest on, and where there are several things, what each is for."""
    first = {leak_rule(r.thresholds): r for r in reversed(records) if r.thresholds}
    told = ConditionLabels(list(first.values()))
    return [rule + (f": {', '.join(texts)}" if (texts := told.texts(r)) else "") for rule, r in reversed(first.items())]


def _bound(records: Sequence[Record]) -> list[str]:
    """What these records used that is not for everybody, once."""
    used = {
        name
        for facts in (facts for r in records if r.status != "skipped" for facts in (r.defense, r.attack))
        for name in (facts.config.get("recogniser"), *(facts.config.get("recognisers") or ()))
    }
    return [f"{', '.join(bound)} of insightface: {RESEARCH}."] if (bound := sorted(used & PACKS.keys())) else []
