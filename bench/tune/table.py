"""What a tuning found, as a file and as a table."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from bench.core.meaning import written
from bench.stats import mean_interval
from bench.store import write_atomic
from bench.tune.trials import Trial


def winner_of(trials: Sequence[Trial]) -> Trial:
    """The trial whose pictures of the first half look least like the people; of equal ones the first."""
    return min(trials, key=lambda trial: trial.choice)


def save(trials: Sequence[Trial], file: Path) -> None:
    """Write all trials as JSON."""
    plain = [dataclasses.asdict(trial) for trial in trials]
    write_atomic(file, (json.dumps(plain, indent=1) + "\n").encode())


def markdown(name: str, trials: Sequence[Trial]) -> str:
    """A table of all trials, the best first, and what the winner gains over the preset.

    Likeness of the winner is by the half of the pictures that did not choose it, so it is not flattered by the choice.
    """
    attacks = [*trials[0].attacks]
    lines = [
        f"| {name}, trial | likeness | {' | '.join(attacks)} | seconds | settings |",
        "|" + "---|" * (len(attacks) + 4),
    ]
    for trial in sorted(trials, key=lambda trial: trial.choice):
        leaks = " | ".join(f"{trial.attacks[attack]:.2f}" for attack in attacks)
        said = ", ".join(f"`{key}={written(value)}`" for key, value in trial.settings.items()) or "the preset"
        lines.append(f"| {trial.number} | {trial.score:.3f} | {leaks} | {trial.seconds:.0f} | {said} |")
    return "\n".join([*lines, "", gain(trials)])


def gain(trials: Sequence[Trial]) -> str:
    """How much less likeness the winner leaves than the preset, person by person, in words."""
    winner, preset = winner_of(trials), next(trial for trial in trials if trial.number == 0)
    if winner is preset:
        return "No trial is better than the preset."
    gains = [preset.scored_by[person] - winner.scored_by[person] for person in preset.scored_by]
    if len(gains) < 2:
        return f"Trial {winner.number} leaves {gains[0]:.3f} less likeness than the preset, of one person."
    low, high = mean_interval(gains)
    return (
        f"Trial {winner.number} leaves {np.mean(gains):.3f} less likeness than the preset "
        f"({low:.3f} to {high:.3f}, {len(gains)} people)."
    )
