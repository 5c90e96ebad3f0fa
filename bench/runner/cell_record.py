"""The record of a cell: what it was made of and where, whatever came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from bench.config.resolved_method import ResolvedMethod
from bench.core.errors import BenchError
from bench.core.hashing import sha256_array
from bench.core.seeding import derive
from bench.core.stated_paths import shortened
from bench.core.types import Array, Pixels
from bench.data.pseudonyms import stored
from bench.evaluation.detections import FaceDetections
from bench.models.diffusion.model_cache import Pool
from bench.models.faces.panel import Panel
from bench.results.provenance import provenance
from bench.results.record import ImageFacts, Record
from bench.runner.plan import Cell, facts_of, protocol_facts
from bench.runner.stages import generate


def cell_record(
    cell: Cell, panel: Panel, pool: Pool, status: str, reason: str = "", doubts: Sequence[str] = (), **facts: object
) -> Record:
    """A record of a cell with its provenance, without the names of real people and without absolute paths.

    Args:
        cell: which.
        panel: who judged it, or would have.
        pool: where its base was loaded, or would have been.
        status, reason: how it ended.
        doubts: what may be wrong with the data set's photos.
        facts: results, by their fields.
    """
    base = {}
    with contextlib.suppress(BenchError):  # a skipped cell may be so for want of it
        checkpoint = pool.checkpoint(cell.model)
        base = {"revision": checkpoint.revision, "fingerprint": checkpoint.fingerprint}
    skipped = {"skipped": list(cell.identity.skipped)} if cell.identity.skipped else {}
    run_facts = {
        "data": {"fingerprint": cell.data.fingerprint, "licence": cell.data.licence, **skipped},
        "base": base,
        "judges": {"names": list(panel.names), "fingerprint": panel.fingerprint},
        "protocol": protocol_facts(cell.protocol),
        "device": pool.device,
        "precision": cell.model.computing.arithmetic,
        "seeds": {stage: derive(cell.seed, stage, cell.identity.name) for stage in ("protect", "fit")},
        **({"doubts": list(doubts)} if doubts else {}),
    }
    return Record.model_validate(
        shortened(
            {
                "cell": cell.id,
                "status": status,
                "reason": stored(cell.data, cell.identity, reason),
                "data": cell.data.name,
                "identity": cell.identity.name,
                "defense": {**_method_facts(cell.defense), "budget": cell.budget.levels},
                "countermeasure": [_method_facts(method) for method in cell.countermeasures],
                "attack": _method_facts(cell.attack),
                "base": cell.model.name,
                "surrogates": [model.name for model in cell.surrogates],
                **stated(cell),
                "seed": cell.seed,
                "provenance": {**provenance(), **run_facts},
                **facts,
            }
        )
    )


def stated(cell: Cell) -> dict[str, Any]:
    """Fields of a record that say how base, surrogates, files and photos were used."""
    return {
        "model": facts_of(cell.model),
        "surrogate_models": [facts_of(model) for model in cell.surrogates],
        "weights": list(cell.weights),
        "data_config": cell.data.cut,
        "photo_count": len(cell.identity.protect),
    }


def image_facts(
    cell: Cell,
    pictures: Sequence[Pixels],
    detections: Mapping[str, FaceDetections],
    similarities: Mapping[str, Array],
    quality: Sequence[dict[str, float]],
) -> list[ImageFacts]:
    """What a record says of every generated picture.

    Args:
        cell: of which they are.
        pictures: in the order of prompts, and of images of one prompt.
        detections: each judge's, of all of them.
        similarities: judge -> (n,) largest cosine to the person's reference, NaN without a face.
        quality: name -> score, of every picture.
    """
    per_prompt = cell.protocol.images_per_prompt
    seeds = generate.noise_seeds(cell.protocol, cell.identity.name, cell.seed)
    faces = next(iter(detections.values())).faces  # the judges share their detector
    means = np.mean(list(similarities.values()), axis=0)
    return [
        ImageFacts(
            prompt=index // per_prompt,
            image=index % per_prompt,
            noise_seed=seeds[index],
            faces=len(faces[index]),
            similarity=_or_none(means[index]),
            similarities={judge: _or_none(values[index]) for judge, values in similarities.items()},
            sha256=sha256_array(picture),
            quality=quality[index],
        )
        for index, picture in enumerate(pictures)
    ]


def _method_facts(method: ResolvedMethod[Any]) -> dict[str, Any]:
    return {"name": method.name, "config": dict(method.settings)}


def _or_none(value: float) -> float | None:
    return None if np.isnan(value) else float(value)
