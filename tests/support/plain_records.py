"""Small result records of chosen defenses, attacks and scores."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from bench.results.record import Record
from tests.support.records import FULL


def scored(value: float | None) -> dict[str, float | None]:
    """Metrics of pictures that are all a share `value` of the person, in rate as in likeness."""
    return {"ilr": value, "likeness": value}


def record(person: str = "ann", ilr: float | None = 0.5, **changes: Any) -> Record:
    return Record.model_validate(
        FULL | {"identity": person, "photos_of": person, "metrics": scored(ilr), "countermeasure": []} | changes
    )


def of_pictures(person: str, likeness: Sequence[float], **changes: Any) -> Record:
    """A cell of one prompt by one judge, with so much likeness in its pictures."""
    facts = {"prompt": 0, "faces": 1, "similarity": 0.0, "sha256": "ab"}
    images = [{**facts, "image": i, "noise_seed": i, "similarities": {"judge": s}} for i, s in enumerate(likeness)]
    scale = {"stranger.judge": 0.0, "own.judge": 1.0}
    return record(person, sum(likeness) / len(likeness), images=images, thresholds=scale, **changes)


def defense(name: str, budget: float = 8.0, **config: Any) -> dict[str, Any]:
    return {"name": name, "budget": budget, "config": config}
