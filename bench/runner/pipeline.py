"""One cell from photos to record: the stages in order, each taken from the store if it is there."""

from __future__ import annotations

import contextlib
import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from bench.config.schema import RunSettings
from bench.core import numbered
from bench.core.errors import BenchError, FitFailed, Unwritable, reason_of, writing
from bench.core.hashing import sha256_array
from bench.core.seeding import derive
from bench.core.types import Dataset, Identity, Pixels
from bench.data.duplicates import Duplicate, duplicates
from bench.evaluation import detections
from bench.evaluation.recognition import MIN_REFERENCES
from bench.evaluation.scorer import KeyedImages, Scorer, Scores
from bench.models.diffusion.model_cache import Pool
from bench.results.provenance import provenance
from bench.results.record import DefenseFacts, ImageFacts, MethodFacts, Record, StageFacts
from bench.runner.plan import Cell, facts_of
from bench.runner.stages import countermeasure, fit, generate, protect
from bench.runner.timeout import deadline
from bench.store import Entry, Store

Progress = Callable[[str, float], None]
"""Called with the stage's name and the share of it that is done."""


@dataclass(frozen=True)
class Keys:
    """The store keys of one cell's stages, known before any work."""

    protect: str
    counter: str
    fit: str
    generate: str
    measure: str


class Pipeline:
    """Executes cells. Holds what they share: the store, loaded models and what scores cells."""

    def __init__(self, settings: RunSettings, data: Dataset, store: Store, pool: Pool) -> None:
        self.settings = settings
        self.data = data
        self.store = store
        self.pool = pool
        self.scorer = Scorer(settings.metric, settings.protocol, data, store, lambda: pool.device)
        self.judge = self.scorer.judge

    # -- what is known without work ------------------------------------------------------------------------------

    def keys(self, cell: Cell) -> Keys:
        """The keys of all stages."""
        protocol = self.settings.protocol
        surrogates = [self.pool.fingerprint(model) for model in cell.surrogates]
        protected = protect.key(cell.defense, cell.defend, cell.photo_source, cell.budget, surrogates, cell.seed)
        name, base = self.pool.checkpoint(cell.model).name, self.pool.fingerprint(cell.model)
        found = countermeasure.key(protected, cell.countermeasures, cell.counters, base, cell.seed, cell.leaked)
        fitted = fit.key(found, cell.attack, cell.attacker, name, base, cell.photo_source.name, cell.seed)
        generated = generate.key(fitted, cell.model, protocol, cell.seed)
        return Keys(protected, found, fitted, generated, detections.key(generated, self.judge))

    def outputs(self, cell: Cell) -> dict[str, str]:
        """Stage -> key of all that a cell has in the store, or will have; a skipped cell has nothing."""
        return {} if cell.skip else vars(self.keys(cell))

    @cached_property
    def duplicates(self) -> list[Duplicate]:
        """Photos of the data set that are there twice."""
        return duplicates(self.data)

    @cached_property
    def doubts(self) -> list[str]:
        """What may be wrong with the data set's photos: who is on them, and which are there twice.

        The judge looks at all of them, if it has not yet.

        Raises:
            BenchError: nobody is recognised.
        """
        return [*self.scorer.recognition.doubts(), *map(str, self.duplicates)]

    # -- one cell ------------------------------------------------------------------------------------------------

    def run(self, cell: Cell, progress: Progress) -> Record:
        """Execute a cell; whatever goes wrong becomes a record with a status and a reason.

        Raises:
            Unwritable: nothing can be saved any more.
        """
        if cell.skip:
            return self._record(cell, "skipped", cell.skip)
        try:
            with writing():
                problem = self.problem(cell.identity) or too_few(cell)
                if cell.photo_source is not cell.identity:
                    problem = problem or self.problem(cell.photo_source)
                if problem:
                    return self._record(cell, "fit_failed", problem)
                with deadline(self.settings.timeout):
                    return self._run(cell, progress)
        except Unwritable:
            raise
        except FitFailed as error:
            return self._record(cell, "fit_failed", reason_of(error))
        except BenchError as error:
            return self.failed(cell, reason_of(error))
        except (Exception, SystemExit) as error:  # a plug-in must not take the other cells with it; exit status stays 1
            return self.failed(cell, _explained(error))

    def failed(self, cell: Cell, reason: str) -> Record:
        """The record of a cell that could not end by itself."""
        return self._record(cell, "failed", reason)

    def _run(self, cell: Cell, progress: Progress) -> Record:
        keys = self.keys(cell)
        entries = {
            "protect": self._protect(cell, keys, progress),
            "counter": self._counter(cell, keys),
        }
        entries |= self._fit_and_generate(cell, keys, entries["counter"], progress)
        pictures = numbered.load(entries["generate"].path, len(generate.noise_seeds(self.settings.protocol, cell.seed)))
        entries["measure"] = self.store.compute(
            "measure",
            keys.measure,
            lambda f: detections.measure(f, pictures, self.judge, lambda x: progress("measure", x)),
        )
        seen = detections.load(entries["measure"].path, len(pictures))
        cloaked = KeyedImages(keys.protect, numbered.load(entries["protect"].path, len(cell.photo_source.protect)))
        scores = self.scorer.score(
            cell.identity, cell.photo_source, cloaked, KeyedImages(keys.generate, pictures), seen
        )
        return self._record(
            cell,
            "ok",
            metrics=scores.metrics,
            unavailable=scores.unavailable,
            thresholds=scores.thresholds,
            stages={name: StageFacts(**vars(e.cost), key=e.key, cached=e.cached) for name, e in entries.items()},
            images=self._images(cell, pictures, seen, scores),
            doubts=self.doubts,
        )

    def _protect(self, cell: Cell, keys: Keys, progress: Progress) -> Entry:
        return self.store.compute(
            "protect",
            keys.protect,
            lambda folder: protect.protect(
                folder,
                cell.defense.name,
                cell.defend,
                cell.photo_source,
                cell.budget,
                lambda: [self.pool.base(model) for model in cell.surrogates],
                cell.seed,
                self.store,
                lambda share: progress("protect", share),
            ),
        )

    def _counter(self, cell: Cell, keys: Keys) -> Entry:
        protected = self.store.path("protect", keys.protect)
        return self.store.compute(
            "counter",
            keys.counter,
            lambda folder: countermeasure.counter(
                folder,
                protected,
                cell.counters,
                lambda: self.pool.base(cell.model),
                cell.seed,
                cell.photo_source.name,
                cell.leaked,
            ),
        )

    def _fit_and_generate(self, cell: Cell, keys: Keys, found: Entry, progress: Progress) -> dict[str, Entry]:
        """Personalise and generate. One lock for both, so that no other process fits again what is discarded here."""
        with self.store.lock("attack", keys.generate):
            generated, fitted = self.store.find("generate", keys.generate), self.store.cost("fit", keys.fit)
            if generated is None or fitted is None:
                base = self.pool.base(cell.model)
                fitted = self.store.compute(
                    "fit",
                    keys.fit,
                    lambda folder: fit.fit(
                        folder,
                        found.path,
                        cell.attacker,
                        base,
                        cell.photo_source.name,
                        cell.seed,
                        self.store,
                        lambda share: progress("fit", share),
                    ),
                )
                artifact = fitted.path
                generated = self.store.compute(
                    "generate",
                    keys.generate,
                    lambda folder: generate.generate(
                        folder, artifact, cell.attacker, base, cell.model, self.settings.protocol, cell.seed
                    ),
                )
            if not self.settings.keep_artifacts:
                self.store.discard("fit", keys.fit)
        return {"fit": fitted, "generate": generated}

    # -- the record ----------------------------------------------------------------------------------------------

    def _images(
        self, cell: Cell, pictures: Sequence[Pixels], seen: detections.FaceDetections, scores: Scores
    ) -> list[ImageFacts]:
        protocol = self.settings.protocol
        similarity = seen.similarity(self.scorer.recognition.references[cell.identity.name])
        seeds = generate.noise_seeds(protocol, cell.seed)
        return [
            ImageFacts(
                prompt=index // protocol.images_per_prompt,
                image=index % protocol.images_per_prompt,
                noise_seed=seeds[index],
                faces=len(seen.faces[index]),
                similarity=None if np.isnan(similarity[index]) else float(similarity[index]),
                sha256=sha256_array(picture),
                quality=scores.pictures[index],
            )
            for index, picture in enumerate(pictures)
        ]

    def _record(self, cell: Cell, status: str, reason: str = "", doubts: Sequence[str] = (), **facts: object) -> Record:
        base = {}
        with contextlib.suppress(BenchError):  # a skipped cell may be so for want of it
            checkpoint = self.pool.checkpoint(cell.model)
            base = {"revision": checkpoint.revision, "fingerprint": checkpoint.fingerprint}
        skipped = {"skipped": list(cell.photo_source.skipped)} if cell.photo_source.skipped else {}
        run_facts = {
            "data": {"fingerprint": self.data.fingerprint, "licence": self.data.licence, **skipped},
            "base": base,
            "judge": {"name": self.judge.name, "fingerprint": self.judge.fingerprint},
            "protocol": cell.protocol,
            "device": self.pool.device,
            "precision": cell.model.computing.arithmetic,
            "seeds": {
                "protect": derive(cell.seed, "protect", cell.photo_source.name),
                "fit": derive(cell.seed, "fit", cell.photo_source.name),
            },
            **({"doubts": list(doubts)} if doubts else {}),
        }
        return Record.model_validate(
            {
                "cell": cell.id,
                "status": status,
                "reason": reason,
                "data": self.data.name,
                "identity": cell.identity.name,
                "photos_of": cell.photo_source.name,
                "defense": DefenseFacts(
                    name=cell.defense.name, budget=cell.budget.levels, config=cell.defense.settings
                ),
                "countermeasure": [MethodFacts(name=m.name, config=m.settings) for m in cell.countermeasures],
                "attack": MethodFacts(name=cell.attack.name, config=cell.attack.settings),
                "base": cell.model.name,
                "surrogates": [model.name for model in cell.surrogates],
                **stated(cell),
                "seed": cell.seed,
                "provenance": {**provenance(), **run_facts},
                **facts,
            }
        )

    def problem(self, person: Identity) -> str:
        """Why this person cannot be measured, or nothing."""
        if person.problem:
            return person.problem
        for photo, faces in zip(
            person.clean + person.protect, self.scorer.recognition.photos(person).faces, strict=True
        ):
            if not faces and not self.judge.has_face(photo.pixels):
                return f"no face found in {person.name}/{photo.name}; remove the photo, or try data.crop=face"
        if person.name not in self.scorer.recognition.references:
            return f"fewer than {MIN_REFERENCES} clean photos of {person.name} that the judge recognises as a face"
        return ""


def stated(cell: Cell) -> dict[str, Any]:
    """Fields of a record that say how base, surrogates, files and photos were used."""
    return {
        "model": facts_of(cell.model),
        "surrogate_models": [facts_of(model) for model in cell.surrogates],
        "weights": list(cell.weights),
        "data_config": cell.data.cut,
    }


def _explained(error: BaseException) -> str:
    """What went wrong, and where."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{reason_of(error)} (at {place.filename}:{place.lineno})"
    # That of torch; pictures are made in smaller batches before it comes to this.
    if type(error).__name__ == "OutOfMemoryError":
        said += " Use model.precision=bf16, attack.batch=1 or fewer workers."
    return said


def too_few(cell: Cell) -> str:
    """Why the attacker cannot have so many photos uncloaked, or nothing."""
    wanted, there = cell.attacker.clean_photos, len(cell.photo_source.protect)
    return f"attack.clean_photos={wanted}, but {cell.photo_source.name} has {there} photos" if wanted > there else ""
