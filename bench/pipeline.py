"""One cell from photos to record: the stages in order, each taken from the store if it is there."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np

from bench.calibrate import MIN_PAIRS, Threshold, calibrate
from bench.data.synthetic import Synthetic
from bench.errors import BenchError, FitFailed
from bench.hashing import hash_of, sha256_array
from bench.models.judge import Face, Judge
from bench.models.pool import Pool
from bench.plan import Cell
from bench.provenance import provenance
from bench.record import DefenseFacts, ImageFacts, MethodFacts, Record, StageFacts
from bench.seeds import derive
from bench.settings import RunSettings
from bench.stages import counter, fit, generate, measure, photos, protect
from bench.store import Entry, Store
from bench.types import Array, Dataset, Identity, Pixels
from metrics import identity as identity_metrics
from metrics import visibility

Progress = Callable[[str, float], None]
"""Called with the stage's name and the share of it that is done."""

MIN_REFERENCES = 3


@dataclass(frozen=True)
class Keys:
    """The store keys of one cell's stages, known before any work."""

    protect: str
    counter: str
    fit: str
    generate: str
    measure: str


class Pipeline:
    """Executes cells. Holds what they share: the store, loaded models, the judge, the calibrated threshold."""

    def __init__(self, settings: RunSettings, data: Dataset, store: Store, pool: Pool) -> None:
        self.settings = settings
        self.data = data
        self.store = store
        self.pool = pool
        self.judge = Judge()

    # -- what is known without work ------------------------------------------------------------------------------

    def keys(self, cell: Cell) -> Keys:
        """The keys of all stages."""
        protocol = self.settings.protocol
        surrogates = [self.pool.checkpoint(model) for model in cell.surrogates]
        protected = protect.key(cell.defense, cell.defend, cell.donor, cell.budget, surrogates, cell.seed)
        checkpoint = self.pool.checkpoint(cell.model)
        found = counter.key(protected, cell.countermeasures, cell.counters, checkpoint, cell.seed)
        fitted = fit.key(found, cell.attack, cell.attacker, checkpoint, cell.model, cell.donor.name, cell.seed)
        generated = generate.key(fitted, cell.model, protocol, cell.seed)
        return Keys(protected, found, fitted, generated, measure.key(generated, self.judge))

    # -- one cell ------------------------------------------------------------------------------------------------

    def run(self, cell: Cell, progress: Progress) -> Record:
        """Execute a cell; whatever goes wrong becomes a record with a status and a reason."""
        try:
            problem = self._problem(cell.identity)
            if cell.donor is not cell.identity:
                problem = problem or self._problem(cell.donor)
            if problem:
                return self._record(cell, "fit_failed", problem)
            return self._run(cell, progress)
        except FitFailed as error:
            return self._record(cell, "fit_failed", str(error))
        except BenchError as error:
            return self._record(cell, "failed", str(error))
        except Exception as error:  # a bug in a plug-in must not take the other cells with it; exit status stays 1
            place = traceback.extract_tb(error.__traceback__)[-1]
            where = f"{place.filename}:{place.lineno}"
            return self._record(cell, "failed", f"{type(error).__name__}: {error} (at {where})")

    def _run(self, cell: Cell, progress: Progress) -> Record:
        keys = self.keys(cell)
        reference = self.references[cell.identity.name]
        entries = {
            "protect": self._protect(cell, keys, progress),
            "counter": self._counter(cell, keys),
        }
        entries |= self._fit_and_generate(cell, keys, entries["counter"], progress)
        pictures = photos.load(entries["generate"].path)
        entries["measure"] = self.store.compute(
            "measure",
            keys.measure,
            lambda f: measure.measure(f, pictures, self.judge, lambda x: progress("measure", x)),
        )
        seen = measure.load(entries["measure"].path, len(pictures))
        similarity = seen.similarity(reference)
        values, unavailable = self._metrics(cell, similarity, photos.load(entries["protect"].path))
        return self._record(
            cell,
            "ok",
            metrics=values,
            unavailable=unavailable,
            thresholds={"ilr": self.threshold.value, "far": self.threshold.far, "pairs": float(self.threshold.pairs)},
            stages={
                name: StageFacts(seconds=e.seconds, peak_mb=e.peak_mb, key=e.key, cached=e.cached)
                for name, e in entries.items()
            },
            images=self._images(cell, pictures, seen, similarity),
        )

    def _protect(self, cell: Cell, keys: Keys, progress: Progress) -> Entry:
        return self.store.compute(
            "protect",
            keys.protect,
            lambda folder: protect.protect(
                folder,
                cell.defense.name,
                cell.defend,
                cell.donor,
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
            lambda folder: counter.counter(
                folder, protected, cell.counters, lambda: self.pool.base(cell.model), cell.seed, cell.donor.name
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
                        cell.donor.name,
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

    # -- scores --------------------------------------------------------------------------------------------------

    def _metrics(
        self, cell: Cell, similarity: Array, cloaked: Sequence[Pixels]
    ) -> tuple[dict[str, float | None], dict[str, str]]:
        clean = [photo.pixels for photo in cell.donor.protect]
        pairs = list(zip(clean, cloaked, strict=True))
        values: dict[str, float | None] = {
            "fdfr": identity_metrics.fdfr(similarity),
            "ism_detected": identity_metrics.ism_detected(similarity),
            "ism_zero": identity_metrics.ism_zero(similarity),
            "ilr": identity_metrics.ilr(similarity, self.threshold.value),
            "linf": float(max(visibility.linf(a, b) for a, b in pairs)),
            "psnr": float(np.mean([visibility.psnr(a, b) for a, b in pairs])),
            "ssim": float(np.mean([visibility.ssim(a, b) for a, b in pairs])),
        }
        few = f"fewer than {identity_metrics.MIN_DETECTED} generated pictures with a face"
        return values, {"ism_detected": few} if values["ism_detected"] is None else {}

    def _images(
        self, cell: Cell, pictures: Sequence[Pixels], seen: measure.Seen, similarity: Array
    ) -> list[ImageFacts]:
        protocol = self.settings.protocol
        seeds = generate.noise_seeds(protocol, cell.seed)
        return [
            ImageFacts(
                prompt=index // protocol.images_per_prompt,
                image=index % protocol.images_per_prompt,
                noise_seed=seeds[index],
                faces=len(seen.faces[index]),
                similarity=None if np.isnan(similarity[index]) else float(similarity[index]),
                sha256=sha256_array(picture),
            )
            for index, picture in enumerate(pictures)
        ]

    def _record(self, cell: Cell, status: str, reason: str = "", **facts: object) -> Record:
        checkpoint = self.pool.checkpoint(cell.model)
        run_facts = {
            "data": {"fingerprint": self.data.fingerprint, "licence": self.data.licence},
            "base": {"revision": checkpoint.revision, "fingerprint": checkpoint.fingerprint},
            "judge": {"name": self.judge.name, "fingerprint": self.judge.fingerprint},
            "protocol": cell.protocol,
            "device": self.pool.device,
            "precision": cell.model.precision,
            "seeds": {
                "protect": derive(cell.seed, "protect", cell.donor.name),
                "fit": derive(cell.seed, "fit", cell.donor.name),
            },
        }
        return Record.model_validate(
            {
                "cell": cell.id,
                "status": status,
                "reason": reason,
                "data": self.data.name,
                "identity": cell.identity.name,
                "photos_of": cell.donor.name,
                "defense": DefenseFacts(
                    name=cell.defense.name, budget=cell.budget.levels, config=cell.defense.settings
                ),
                "countermeasure": [MethodFacts(name=m.name, config=m.settings) for m in cell.countermeasures],
                "attack": MethodFacts(name=cell.attack.name, config=cell.attack.settings),
                "base": cell.model.name,
                "surrogates": [model.name for model in cell.surrogates],
                "seed": cell.seed,
                "provenance": {**provenance(), **run_facts},
                **facts,
            }
        )

    # -- what the judge knows of the people ----------------------------------------------------------------------

    @cached_property
    def references(self) -> dict[str, Array]:
        """Person -> reference embedding, for everybody with enough recognisable clean photos."""
        known = {p.name: measure.Seen(self._look(p)[: len(p.clean)]).embeddings() for p in self.data.identities}
        return {name: identity_metrics.centroid(e) for name, e in known.items() if len(e) >= MIN_REFERENCES}

    @cached_property
    def threshold(self) -> Threshold:
        """The leak threshold of this data set."""
        people = [p for p in self.data.identities if p.name in self.references]
        own = {p.name: measure.Seen(self._look(p)).embeddings() for p in people}
        pairs = sum(map(len, own.values())) * (len(own) - 1)
        strangers = self._invented if pairs < MIN_PAIRS else np.empty((0, measure.EMBEDDING_SIZE))
        return calibrate(self.references, own, self.settings.protocol.far, strangers)

    @property
    def _invented(self) -> Array:
        """Embeddings of the shipped synthetic people, as strangers for data sets with too few of their own."""
        people = Synthetic(limit=0).load(64).identities
        return np.concatenate([measure.Seen(self._look(p)).embeddings() for p in people])

    def _look(self, person: Identity) -> tuple[tuple[Face, ...], ...]:
        """What the judge sees in each of a person's photos, the clean ones first; kept in the store."""
        everything = person.clean + person.protect
        key = measure.key(hash_of([photo.sha256 for photo in everything]), self.judge)
        pictures = [photo.pixels for photo in everything]
        entry = self.store.compute("faces", key, lambda folder: measure.measure(folder, pictures, self.judge))
        return measure.load(entry.path, len(everything)).faces

    def _problem(self, person: Identity) -> str:
        """Why this person cannot be measured, or nothing."""
        if person.problem:
            return person.problem
        for photo, faces in zip(person.clean + person.protect, self._look(person), strict=True):
            if not faces and not self.judge.has_face(photo.pixels):
                return f"no face found in {person.name}/{photo.name}; remove the photo, or try data.crop=face"
        if person.name not in self.references:
            return f"fewer than {MIN_REFERENCES} clean photos of {person.name} that the judge recognises as a face"
        return ""
