"""What is searched: for each setting some values, or a range."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any

import numpy as np
from pydantic import Field, model_validator
from scipy.stats import qmc

from bench.core.strict import Strict


class Span(Strict):
    """All numbers between two, whole ones if both are whole; `log` spreads them evenly by their ratio."""

    low: int | float
    high: int | float
    log: bool = False

    @model_validator(mode="after")
    def _ordered(self) -> Span:
        if not self.low < self.high or (self.log and self.low <= 0):
            raise ValueError("low must be below high, and above 0 where log is true")
        return self

    def at(self, share: float) -> int | float:
        """The value at a share in [0, 1) of the way, to three digits."""
        whole = isinstance(self.low, int) and isinstance(self.high, int)
        low, high = (self.low, self.high + 1) if whole else (self.low, self.high)
        value = low * (high / low) ** share if self.log else low + (high - low) * share
        return math.floor(value) if whole else float(f"{value:.3g}")

    def holds(self, value: Any) -> bool:
        """Whether a value is in it."""
        return isinstance(value, int | float) and self.low <= value <= self.high


class Space(Strict):
    """The search space of a defense.

    Attributes:
        name: of the defense.
        settings: setting -> its values, or the span that they are in. The preset's own value is among them.
        fixed: settings that all trials have, besides the preset.
    """

    name: str
    settings: Annotated[dict[str, Span | list[Any]], Field(min_length=1)]
    fixed: dict[str, Any] = Field(default={})

    def trials(self, count: int, seed: int) -> list[dict[str, Any]]:
        """Settings of each trial; the first is the preset, which sets none.

        A longer search begins with the trials of a shorter one.
        """
        points = qmc.Halton(len(self.settings), rng=np.random.default_rng(seed)).random(count - 1)
        return [{}, *(self._at(point) for point in points)]

    def _at(self, point: Any) -> dict[str, Any]:
        chosen = {}
        for (name, values), share in zip(self.settings.items(), point.tolist(), strict=True):
            chosen[name] = values.at(share) if isinstance(values, Span) else values[math.floor(share * len(values))]
        return chosen

    def lacking(self, preset: Mapping[str, Any]) -> list[str]:
        """Settings whose value in a preset is not in the space."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in preset.items()}
        return [
            name
            for name, values in self.settings.items()
            if not (values.holds(plain[name]) if isinstance(values, Span) else plain[name] in values)
        ]
