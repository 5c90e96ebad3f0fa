"""The result record: one strict-JSON file per cell. This schema is its documentation.

Records hold per-image facts and the metrics of one cell; means over people, intervals and ranks are computed from
records later. There is no NaN: a metric that does not exist is null, and `unavailable` says why.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field

from bench.core.file_names import inside
from bench.core.names import natural
from bench.core.strict import Strict
from bench.core.types import Status
from bench.store import write_atomic

SCHEMA_VERSION: Literal[1] = 1
PROTOCOL = 2
"""How leaks are judged: 1 by dlib at one threshold for a data set, 2 by independent judges at a person's own."""
CLOAK = ("surrogate", "protect")
"""Stages that make a cloak: what its surrogate learned beforehand, if anything, and the cloak itself."""
SCHEMA_FILE = Path(__file__).parent / "record.schema.json"

Number = Annotated[float, Field(ge=-1e100, le=1e100)]
"""No number that is measured is larger, and sums of many are still numbers."""
Cost = Annotated[float, Field(ge=0, le=1e12)]
Count = Annotated[int, Field(ge=0, lt=2**63)]
"""What columns of tables can hold."""


class DefenseFacts(Strict):
    """The defense, its budget in grey levels and its settings."""

    name: str
    budget: Number
    config: dict[str, Any]


class MethodFacts(Strict):
    """An attack or a countermeasure and its settings."""

    name: str
    config: dict[str, Any]


class ModelFacts(Strict):
    """A base and how it was used: everything of it that decides a result, beside its weights."""

    name: str
    revision: str | None
    family: str
    resolution: Count = Field(description="side of the photos in pixels")
    steps: Count = Field(description="sampler steps")
    guidance: Number
    precision: str = Field(description="and what else the last digits depend on: fp32, bf16+channels_last")


class StageFacts(Strict):
    """Cost and identity of one stage's output."""

    seconds: Cost = Field(description="wall time of the computation that made the output")
    peak_mb: Cost = Field(description="its peak memory in MB")
    passes: dict[str, dict[str, Count]] | None = Field(
        default=None, description="samples through networks, by network and kind; null if nobody counted"
    )
    halvings: Count = Field(default=0, description="batches halved because memory ran out; last digits may differ")
    together: Count = Field(
        default=1, description="outputs computed at once, this one among them; the seconds are an equal share"
    )
    places: Count = Field(default=1, description="how many there was room for at once; last digits depend on it")
    key: str = Field(description="content key in the store")
    cached: bool = Field(description="whether this run found it in the store")


class ImageFacts(Strict):
    """One generated picture."""

    prompt: Count
    image: Count
    noise_seed: Count
    faces: Count = Field(description="faces that were found")
    similarity: Number | None = Field(
        description="largest cosine to the reference, the mean of the judges; null without a face"
    )
    similarities: dict[str, Number | None] = Field(
        default={}, description="judge -> largest cosine of a face to the reference; protocol 2"
    )
    sha256: str
    quality: dict[str, Number] = Field(default={}, description="scores of the picture itself, by metric")


class Record(Strict):
    """The result of one cell: identity x defense(budget) x countermeasure x attack x base x seed.

    Everything that `cell` is a hash of is stated: in fields, or as `provenance.protocol` and
    `provenance.data.fingerprint`. Records of before version 0.2 lack `model`, `surrogate_models`, `weights` and
    `data_config`: there they are null, and not known. So is `photo_count` in records of before it was stated.
    """

    schema_version: Literal[1] = SCHEMA_VERSION
    cell: str = Field(description="hash of everything that names the cell")
    status: Status
    reason: str = Field("", description="why the status is not ok")
    data: str
    identity: str
    photos_of: str = Field(
        "", description="whose photos the attacker had, in records of protocol 1; empty: the person's own"
    )
    defense: DefenseFacts
    countermeasure: list[MethodFacts]
    attack: MethodFacts
    base: str
    surrogates: list[str]
    model: ModelFacts | None = Field(None, description="how the base was used")
    surrogate_models: list[ModelFacts] | None = Field(None, description="how the surrogates were")
    weights: list[str] | None = Field(
        None, description="fingerprints of the files of the base, the surrogates and the methods"
    )
    data_config: dict[str, Any] | None = Field(None, description="settings by which photos were cut")
    photo_count: Count | None = Field(None, description="photos of the person that were cloaked together")
    seed: Count
    metrics: dict[str, Number | None] = Field(default={})
    unavailable: dict[str, str] = Field(default={})
    thresholds: dict[str, Number] = Field(default={})
    stages: dict[str, StageFacts] = Field(default={})
    images: list[ImageFacts] = Field(default=[])
    provenance: dict[str, Any] = Field(default={})

    @property
    def protocol(self) -> int:
        """The version of the protocol that judged it; see `PROTOCOL`. Scores of two versions are never compared."""
        stated = self.provenance.get("protocol")
        version = stated.get("version") if isinstance(stated, dict) else None
        return version if isinstance(version, int) else 1

    def metric(self, name: str) -> float | None:
        """A metric's value, if it has one; the `likeness` of protocol 1 is dlib's, which it calls `ism_calibrated`."""
        stated = "ism_calibrated" if name == "likeness" and self.protocol == 1 and name not in self.metrics else name
        return self.metrics.get(stated)

    @property
    def evaluations(self) -> float | None:
        """Network evaluations that the cloak took, a photo: samples through the UNet, with what a surrogate learned.

        None if these or the photos were not counted.
        """
        stages = [self.stages[name] for name in CLOAK if name in self.stages]
        counted = [stage.passes for stage in stages if stage.passes is not None]
        if not counted or not self.photo_count:
            return None
        return sum(sum(passes.get("unet", {}).values()) for passes in counted) / self.photo_count

    @property
    def of_another_person(self) -> bool:
        """Whether the attacker had another person's photos: a control of protocol 1."""
        return self.photos_of not in ("", self.identity)


def save(record: Record, folder: Path) -> Path:
    """Write `<folder>/<identity>-<defense>-<attack>-<cell>.json` atomically."""
    path = inside(folder, _name(record, record.cell))
    write_atomic(path, (json.dumps(record.model_dump(), indent=1, allow_nan=False) + "\n").encode())
    return path


def discard(done: Record, folder: Path, cell: str) -> None:
    """Delete the record of another cell of the same methods, if there is one.

    What was skipped for want of files has been done since.
    """
    inside(folder, _name(done, cell)).unlink(missing_ok=True)


def _name(record: Record, cell: str) -> str:
    name = f"{record.identity}-{record.defense.name}-{record.attack.name}"
    safe = "".join(c if c.isalnum() or c in "-_." else "_" for c in name)
    safe = f"_{safe[1:]}" if safe.startswith(".") else safe  # hidden files are no records
    # File systems take 255 bytes, temporary names included; the hash is what tells names apart.
    return f"{safe.encode()[:180].decode(errors='ignore')}-{cell[:12]}.json"


def load(path: Path) -> Record:
    """Read one record.

    Raises:
        pydantic.ValidationError: it does not follow the schema.
    """
    return Record.model_validate_json(path.read_text())


def load_all(out: Path) -> list[Record]:
    """All records of a run, by person (numbers count: 9 before 10), then by file name."""
    records = [load(path) for path in sorted((out / "cells").glob("[!.]*.json"))]
    return sorted(records, key=lambda record: natural(record.identity))


def schema() -> str:
    """The JSON Schema that `record.schema.json` holds."""
    return json.dumps(Record.model_json_schema(), indent=2, sort_keys=True) + "\n"


if __name__ == "__main__":  # python -m bench.results.record: write the schema after a change
    SCHEMA_FILE.write_text(schema())
