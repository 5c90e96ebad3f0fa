"""Where the spread of scores comes from, and how many people a difference needs."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from scipy.special import nctdtr, stdtrit

from bench.core.types import Array

ALPHA = 0.05
"""Level of all tests."""
POWER = 0.8


@dataclass(frozen=True)
class Split:
    """Variance components of single pictures' scores; they are not negative, and add up to the total.

    Attributes:
        identity: between people.
        training: between trainings of one person with different seeds.
        prompt: between prompts, the same for all people.
        picture: the rest: generation seeds, and prompts that suit some people better.
    """

    identity: float
    training: float
    prompt: float
    picture: float

    @property
    def total(self) -> float:
        return self.identity + self.training + self.prompt + self.picture


def variance_split(scores: Array) -> Split:
    """Method of moments for a balanced design (Searle, Casella and McCulloch, "Variance Components", 1992, chapter 4).

    Trainings are nested in people, prompts cross both, interactions count as rest. Estimates below zero become zero.

    Args:
        scores: (people, trainings, prompts, pictures), at least two people and two pictures or prompts. An axis of
            length 1 has no component of its own: its variance is in the next one.

    Raises:
        ValueError: too few scores to split anything.
    """
    people, trainings, prompts, pictures = scores.shape
    if people < 2 or prompts * pictures < 2:
        raise ValueError("a split of the variance needs two people and two pictures of each")
    grand = scores.mean()
    by_person, by_training = scores.mean(axis=(1, 2, 3)), scores.mean(axis=(2, 3))
    by_prompt = scores.mean(axis=(0, 1, 3))
    squares_person = trainings * prompts * pictures * float(((by_person - grand) ** 2).sum())
    squares_training = prompts * pictures * float(((by_training - by_person[:, None]) ** 2).sum())
    squares_prompt = people * trainings * pictures * float(((by_prompt - grand) ** 2).sum())
    squares_rest = float(((scores - grand) ** 2).sum()) - squares_person - squares_training - squares_prompt

    free = scores.size - 1 - (people - 1) - people * (trainings - 1) - (prompts - 1)
    rest = squares_rest / free
    per_training = squares_training / (people * (trainings - 1)) if trainings > 1 else rest
    training = max(0.0, (per_training - rest) / (prompts * pictures))
    per_person = squares_person / (people - 1)
    identity = max(0.0, (per_person - max(per_training, rest)) / (trainings * prompts * pictures))
    per_prompt = squares_prompt / (prompts - 1) if prompts > 1 else rest
    prompt = max(0.0, (per_prompt - rest) / (people * trainings * pictures))
    return Split(identity, training, prompt, rest)


def power(difference: float, spread: float, people: int, alpha: float = ALPHA) -> float:
    """Chance that a paired two-sided t test of some people finds a true mean difference.

    Args:
        difference: true mean of the differences.
        spread: standard deviation of the differences over people.
        people: how many.
        alpha: level of the test; divide it by the number of pairs to plan for a correction.
    """
    if people < 2:
        return 0.0
    if spread == 0:
        return float(difference != 0)
    critical, shift = stdtrit(people - 1, 1 - alpha / 2), abs(difference) / spread * people**0.5
    missed, wrong_way = (nctdtr(people - 1, shift, limit) for limit in (critical, -critical))
    return float(1 - missed + np.nan_to_num(wrong_way))  # scipy may give NaN where it is next to nothing


def detectable(spread: float, people: int, alpha: float = ALPHA, wanted: float = POWER) -> float:
    """The smallest mean difference that some people find with power `wanted`.

    Infinite for fewer than two people, and 0 without any spread.
    """
    if people < 2:
        return math.inf
    if spread == 0:
        return 0.0
    low, high = 0.0, spread
    while power(high, spread, people, alpha) < wanted:
        high *= 2
    for _ in range(60):
        middle = (low + high) / 2
        low, high = (low, middle) if power(middle, spread, people, alpha) >= wanted else (middle, high)
    return high


def people_needed(difference: float, spread: float, alpha: float = ALPHA, wanted: float = POWER) -> int:
    """How many people find a mean difference with power `wanted`.

    Raises:
        ValueError: the difference is zero, which nobody can find.
    """
    if difference == 0:
        raise ValueError("no number of people finds a difference of zero")
    most = 2
    while power(difference, spread, most, alpha) < wanted:
        most *= 2
    fewest = most // 2
    while most - fewest > 1:
        middle = (most + fewest) // 2
        fewest, most = (fewest, middle) if power(difference, spread, middle, alpha) >= wanted else (middle, most)
    return most
