"""Which arms of a run a check is about."""

from __future__ import annotations

from bench.report.analysis import RunAnalysis
from bench.results.arms import Arm
from bench.results.labels import attack_label
from bench.stats.rule import CONTROLS


def base_alone(analysis: RunAnalysis) -> list[Arm]:
    """The arms without an attack: what the base makes of nobody's photos."""
    return [arm for arm in analysis.arms if arm.records[0].attack.name == "none"]


def attacked(analysis: RunAnalysis) -> list[Arm]:
    """The arms of attacks on a person's own photos, labelled as in the run's table."""
    firsts = [(arm, arm.records[0]) for arm in analysis.arms]
    return [arm for arm, record in firsts if record.attack.name != "none" and not record.of_another_person]


def clean(analysis: RunAnalysis) -> list[Arm]:
    """The arms of attacks on uncloaked photos."""
    return [arm for arm in attacked(analysis) if arm.records[0].defense.name == "none"]


def cloaks(analysis: RunAnalysis) -> list[Arm]:
    """The arms of attacks on cloaked photos; noise and JPEG are no cloaks."""
    return [arm for arm in attacked(analysis) if arm.records[0].defense.name not in CONTROLS]


def attack_of(arm: Arm) -> str:
    """An arm's attack, with the settings in which arms differ."""
    return attack_label(arm.records[0]) + (f" ({', '.join(arm.settings)})" if arm.settings else "")
