"""Small result records of chosen defenses, attacks and scores."""

from __future__ import annotations

from typing import Any

from bench.results.record import Record
from tests.support.records import FULL


def record(person: str = "ann", ilr: float | None = 0.5, **changes: Any) -> Record:
    return Record.model_validate(
        FULL
        | {"identity": person, "photos_of": person, "metrics": {"ilr": ilr, "likeness": ilr}, "countermeasure": []}
        | changes
    )


def defense(name: str, budget: float = 8.0, **config: Any) -> dict[str, Any]:
    return {"name": name, "budget": budget, "config": config}
