"""The record of a cell: what it was made of and where, whatever came of it."""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from typing import Any

import numpy as np

from bench.config.resolved_method import ResolvedMethod
from bench.core.errors import BenchError
from bench.core.hashing import sha256_array
from bench.core.seeding import derive
from bench.core.types import Array, Pixels
from bench.evaluation.detections import FaceDetections
from bench.models.diffusion.model_cache import Pool
from bench.models.faces.judges import Judge
from bench.results.provenance import provenance
from bench.results.record import DefenseFacts, ImageFacts, MethodFacts, Record
from bench.runner.plan import Cell, facts_of
from bench.runner.stages import generate


def cell_record(
    cell: Cell, judge: Judge, pool: Pool, status: str, reason: str = "", doubts: Sequence[str] = (), **facts: object
) -> Record:
    """A record of a cell with its provenance.

    Args:
        cell: which.
        judge: who judged it, or would have.
        pool: where its base was loaded, or would have been.
        status, reason: how it ended.
        doubts: what may be wrong with the data set's photos.
        facts: results, by their fields.
    """
    base = {}
    with contextlib.suppress(BenchError):  # a skipped cell may be so for want of it
        checkpoint = pool.checkpoint(cell.model)
        base = {"revision": checkpoint.revision, "fingerprint": checkpoint.fingerprint}
    skipped = {"skipped": list(cell.photo_source.skipped)} if cell.photo_source.skipped else {}
    run_facts = {
        "data": {"fingerprint": cell.data.fingerprint, "licence": cell.data.licence, **skipped},
        "base": base,
        "judge": {"name": judge.name, "fingerprint": judge.fingerprint},
        "protocol": cell.protocol.model_dump(mode="json"),
        "device": pool.device,
        "precision": cell.model.computing.arithmetic,
        "seeds": {stage: derive(cell.seed, stage, cell.photo_source.name) for stage in ("protect", "fit")},
        **({"doubts": list(doubts)} if doubts else {}),
    }
    return Record.model_validate(
        {
            "cell": cell.id,
            "status": status,
            "reason": reason,
            "data": cell.data.name,
            "identity": cell.identity.name,
            "photos_of": cell.photo_source.name,
            "defense": DefenseFacts(
                name=cell.defense.name, budget=cell.budget.levels, config=dict(cell.defense.settings)
            ),
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


def stated(cell: Cell) -> dict[str, Any]:
    """Fields of a record that say how base, surrogates, files and photos were used."""
    return {
        "model": facts_of(cell.model),
        "surrogate_models": [facts_of(model) for model in cell.surrogates],
        "weights": list(cell.weights),
        "data_config": cell.data.cut,
    }


def image_facts(
    cell: Cell,
    pictures: Sequence[Pixels],
    detections: FaceDetections,
    reference: Array,
    quality: Sequence[dict[str, float]],
) -> list[ImageFacts]:
    """What a record says of every generated picture.

    Args:
        cell: of which they are.
        pictures: in the order of prompts, and of images of one prompt.
        detections: the judge's, of all of them.
        reference: (d,) embedding of the person that the similarity is to.
        quality: name -> score, of every picture.
    """
    per_prompt = cell.protocol.images_per_prompt
    seeds = generate.noise_seeds(cell.protocol, cell.seed)
    similarity = detections.similarity(reference)
    return [
        ImageFacts(
            prompt=index // per_prompt,
            image=index % per_prompt,
            noise_seed=seeds[index],
            faces=len(detections.faces[index]),
            similarity=None if np.isnan(similarity[index]) else float(similarity[index]),
            sha256=sha256_array(picture),
            quality=quality[index],
        )
        for index, picture in enumerate(pictures)
    ]


def _method_facts(method: ResolvedMethod[Any]) -> MethodFacts:
    return MethodFacts(name=method.name, config=dict(method.settings))
