"""The base of everything that pydantic checks: settings, records, plans, papers, entries of the leaderboard."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class Strict(BaseModel):
    """No unknown field, no change, and no number that JSON lacks (NaN, Infinity)."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)
