"""One cell from photos to record: the stages in order, each taken from the store if it is there."""

from __future__ import annotations

import traceback
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cached_property, partial
from pathlib import Path

from bench.config.schema import RunSettings
from bench.core import numbered
from bench.core.errors import BenchError, FitFailed, Unwritable, reason_of, writing
from bench.core.images import to_tensor
from bench.core.types import Dataset, Identity
from bench.data.duplicates import Duplicate, duplicates
from bench.evaluation import detections
from bench.evaluation.recognition import MIN_REFERENCES
from bench.evaluation.scorer import KeyedImages, Scorer
from bench.models.diffusion.model_cache import Pool
from bench.models.faces.dlib_recogniser import DlibRecogniser
from bench.results.record import Record, StageFacts
from bench.runner.cell_record import cell_record, image_facts
from bench.runner.groups import groups, places
from bench.runner.plan import Cell
from bench.runner.stages import countermeasure, fit, generate, protect, surrogate
from bench.runner.timeout import deadline
from bench.store import Entry, Store, about

WEIGHTS = ("surrogate", "fit")
"""Stages that personalise."""
Progress = Callable[[str, float], None]
"""Called with the stage's name and the share of it that is done."""


@dataclass(frozen=True)
class Keys:
    """The store keys of one cell's stages, known before any work; `surrogate` is empty if the defense wants none."""

    protect: str
    counter: str
    fit: str
    generate: str
    measure: str
    surrogate: str = ""


class Pipeline:
    """Executes cells. Holds what they share: the store, loaded models and what scores cells."""

    def __init__(self, settings: RunSettings, data: Dataset, store: Store, pool: Pool) -> None:
        self.settings = settings
        self.data = data
        self.store = store
        self.pool = pool
        self.scorer = Scorer(settings.metric, settings.protocol, data, store, lambda: pool.device)
        self.panel = self.scorer.panel
        self._groups: dict[str, list[Cell]] = {}
        self._keys: dict[str, Keys] = {}

    def group(self, planned: Sequence[Cell]) -> None:
        """These cells are to be executed, some with fits that share a pass."""
        self._groups = groups(planned, self.settings.fits_together)

    # -- what is known without work ------------------------------------------------------------------------------

    def keys(self, cell: Cell) -> Keys:
        """The keys of all stages; every part of a run asks for them."""
        if cell.id not in self._keys:
            self._keys[cell.id] = self._keys_of(cell)
        return self._keys[cell.id]

    def _keys_of(self, cell: Cell) -> Keys:
        surrogates, static = [self.pool.fingerprint(model) for model in cell.surrogates], ""
        if (recipe := cell.pretuning) is not None:
            static = surrogate.key(recipe, [photo.sha256 for photo in cell.taught], surrogates[0], cell.seed)
        protected = protect.key(cell.defense, cell.identity, cell.budget, surrogates, cell.seed, static)
        name, base = self.pool.checkpoint(cell.model).name, self.pool.fingerprint(cell.model)
        treated = countermeasure.key(protected, cell.countermeasures, base, cell.seed, cell.leaked)
        room = places(cell, self.settings.fits_together)
        fitted = fit.key(treated, cell.attack, name, base, cell.identity.name, cell.seed, room)
        generated = generate.key(fitted, cell.model, cell.protocol, cell.identity.name, cell.seed)
        return Keys(protected, treated, fitted, generated, detections.key(generated, self.panel), static)

    def outputs(self, cell: Cell) -> dict[str, str]:
        """Stage -> key of all that a cell has in the store, or will have; a skipped cell has nothing."""
        return {} if cell.skip else {stage: key for stage, key in vars(self.keys(cell)).items() if key}

    def making(self, cell: Cell) -> set[tuple[str, str]]:
        """(stage, key) of all that is made while a cell is executed: for those whose fits share a pass, up to these."""
        beside = {
            (stage, key)
            for mate in self._groups.get(cell.id, ())
            for stage, key in self.outputs(mate).items()
            if stage not in ("generate", "measure")
        }
        return beside | set(self.outputs(cell).items())

    def stored(self, cell: Cell) -> bool:
        """Whether all outputs are in the store; of personalised weights only the cost is kept, and enough."""
        find, cost = self.store.find, self.store.cost
        return all((cost if stage in WEIGHTS else find)(stage, key) for stage, key in self.outputs(cell).items())

    @cached_property
    def duplicates(self) -> list[Duplicate]:
        """Photos of the data set that are there twice."""
        return duplicates(self.data)

    @cached_property
    def doubts(self) -> list[str]:
        """What may be wrong with the data set's photos: who is on them, and which are there twice.

        The judges look at all of them, if they have not yet.

        Raises:
            BenchError: nobody is recognised.
        """
        return [*self.scorer.judgement.doubts(), *map(str, self.duplicates)]

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
                if problem:
                    return self._record(cell, "fit_failed", problem)
                with deadline(self._limit(cell)), about(cell.identity.name):
                    return self._run(cell, progress)
        except Unwritable:
            raise
        except FitFailed as error:
            return self._record(cell, "fit_failed", reason_of(error))
        except BenchError as error:
            return self.failed(cell, reason_of(error))
        except (Exception, SystemExit) as error:  # a plug-in must not take the other cells with it; exit status stays 1
            return self.failed(cell, _explained(error))

    def _limit(self, cell: Cell) -> float | None:
        """Seconds that a cell may take; the first of a batch works for all of them."""
        limit = self.settings.timeout
        return limit * len(self._groups.get(cell.id, (cell,))) if limit else None

    def failed(self, cell: Cell, reason: str) -> Record:
        """The record of a cell that could not end by itself."""
        return self._record(cell, "failed", reason)

    def _run(self, cell: Cell, progress: Progress) -> Record:
        keys = self.keys(cell)
        entries = self._treated(cell, keys, progress)
        entries |= self._fit_and_generate(cell, keys, progress)
        pictures = numbered.load(entries["generate"].path, len(cell.protocol.asked))
        entries["measure"] = self.store.compute(
            "measure",
            keys.measure,
            lambda folder: detections.measure(folder, pictures, self.panel, partial(progress, "measure")),
        )
        seen = detections.load(entries["measure"].path, len(pictures))
        cloaked = KeyedImages(keys.protect, numbered.load(entries["protect"].path, len(cell.identity.protect)))
        scores = self.scorer.score(cell.identity, cloaked, KeyedImages(keys.generate, pictures), seen)
        similarities = self.scorer.judgement.similarity(cell.identity, seen)
        return self._record(
            cell,
            "ok",
            metrics=scores.metrics,
            unavailable=scores.unavailable,
            thresholds=scores.thresholds,
            stages={name: StageFacts(**vars(e.cost), key=e.key, cached=e.cached) for name, e in entries.items()},
            images=image_facts(cell, pictures, seen, similarities, scores.pictures),
            doubts=self.doubts,
        )

    def _treated(self, cell: Cell, keys: Keys, progress: Progress) -> dict[str, Entry]:
        """The photos as the attacker has them, and what they were made of."""
        entries = self._surrogate(cell, keys, progress)
        return entries | {"protect": self._protect(cell, keys, progress), "counter": self._counter(cell, keys)}

    def _surrogate(self, cell: Cell, keys: Keys, progress: Progress) -> dict[str, Entry]:
        """What a surrogate learns beforehand, if the defense wants that. Beside a finished cloak its cost is enough."""
        recipe = cell.pretuning
        if recipe is None:
            return {}

        def work(folder: Path) -> None:
            base = self.pool.base(cell.surrogates[0])
            clean = to_tensor([photo.pixels for photo in cell.taught]).to(base.device)
            report = partial(progress, surrogate.STAGE)
            surrogate.save(folder, surrogate.tuned(base, clean, recipe, cell.seed, report))

        entry = self.store.cost(surrogate.STAGE, keys.surrogate)
        if entry is None or self.store.find("protect", keys.protect) is None:
            entry = self.store.compute(surrogate.STAGE, keys.surrogate, work)
        return {surrogate.STAGE: entry}

    def _protect(self, cell: Cell, keys: Keys, progress: Progress) -> Entry:
        def work(folder: Path) -> None:
            bases = [self.pool.base(model) for model in cell.surrogates]
            person, report = cell.identity, partial(progress, "protect")
            learned = surrogate.pretuned(self.store, cell.seed)
            context = protect.context(person, cell.budget, bases, cell.seed, self.store, learned, report)
            protect.protect(folder, cell.defense, person.protect, context)

        return self.store.compute("protect", keys.protect, work)

    def _counter(self, cell: Cell, keys: Keys) -> Entry:
        def work(folder: Path) -> None:
            chain = [method.instance for method in cell.countermeasures]
            cloaked, person = self.store.path("protect", keys.protect), cell.identity.name
            base = partial(self.pool.base, cell.model)
            countermeasure.counter(folder, cloaked, chain, base, cell.seed, person, cell.leaked)

        return self.store.compute("counter", keys.counter, work)

    def _fit_and_generate(self, cell: Cell, keys: Keys, progress: Progress) -> dict[str, Entry]:
        """Personalise and generate. One lock for both, so that no other process fits again what is discarded here."""
        attack, photos = cell.attack.instance, self.store.path("counter", keys.counter)

        def fit_work(folder: Path) -> None:
            context = fit.context(cell.identity.name, cell.seed, self.store, partial(progress, "fit"))
            with self.pool.lent(cell.model, attack) as ready:
                fit.fit(folder, photos, ready, context)

        def generate_work(folder: Path) -> None:
            artifact, person = self.store.path("fit", keys.fit), cell.identity.name
            with self.pool.lent(cell.model, attack) as ready:
                generate.generate(folder, artifact, ready, cell.model, cell.protocol, person, cell.seed)

        with self.store.lock("attack", keys.generate):
            generated, fitted = self.store.find("generate", keys.generate), self.store.cost("fit", keys.fit)
            if generated is None or fitted is None:
                with about(cell.identity.name if attack.needs_photos else ""):
                    if (room := places(cell, self.settings.fits_together)) > 1:
                        fitted = self._fit_together(cell, keys, room, progress)
                    else:
                        fitted = self.store.compute("fit", keys.fit, fit_work)
                generated = self.store.compute("generate", keys.generate, generate_work)
            if not self.settings.keep_artifacts:
                self.store.discard("fit", keys.fit)
        return {"fit": fitted, "generate": generated}

    def _fit_together(self, cell: Cell, keys: Keys, room: int, progress: Progress) -> Entry:
        """Personalise for all cells of a batch that are ready, or can be made so; what came of the one that asks."""
        mates = [each for each in self._groups.get(cell.id, ()) if each.id != cell.id and self._ready(each, progress)]
        cells = {self.keys(each).fit: each for each in (*mates, cell)}

        def work(folders: dict[str, Path]) -> dict[str, Exception]:
            chosen = [cells[key] for key in folders]
            photos = [self.store.path("counter", self.keys(each).counter) for each in chosen]
            reports = [partial(progress, "fit") if each is cell else None for each in chosen]
            contexts = [
                fit.context(each.identity.name, each.seed, self.store, report)
                for each, report in zip(chosen, reports, strict=True)
            ]
            with self.pool.lent(cell.model, cell.attack.instance) as attack:
                problems = fit.fit_many(list(folders.values()), photos, attack, contexts, room)
            return {key: problem for key, problem in zip(folders, problems, strict=True) if problem}

        people = {key: each.identity.name for key, each in cells.items()}
        made = self.store.compute_many("fit", people, work, room)[keys.fit]
        if isinstance(made, Exception):
            raise made
        return made

    def _ready(self, mate: Cell, progress: Progress) -> bool:
        """Whether another cell's fit is still to be made, and its photos are there, or can be made now.

        What is wrong with it is told when its turn comes.
        """
        keys = self.keys(mate)
        generated = self.store.find("generate", keys.generate) and self.store.cost("fit", keys.fit)
        if generated or self.store.find("fit", keys.fit):
            return False
        try:
            if self.problem(mate.identity) or too_few(mate):
                return False
            with about(mate.identity.name):
                self._treated(mate, keys, progress)
        except Unwritable:
            raise
        except (Exception, SystemExit):
            return False
        return True

    def _record(self, cell: Cell, status: str, reason: str = "", doubts: Sequence[str] = (), **facts: object) -> Record:
        return cell_record(cell, self.panel, self.pool, status, reason, doubts, **facts)

    def problem(self, person: Identity) -> str:
        """Why this person cannot be measured, or nothing."""
        if person.problem:
            return person.problem
        first = next(iter(self.scorer.judgement.recognitions.values()))  # the judges share their detector
        photos = sorted(person.by_set(), key=lambda item: item[0] == "B")  # the clean ones first, as they are seen
        for (part, photo), faces in zip(photos, first.photos(person).faces, strict=True):
            if not faces and not DlibRecogniser().has_face(photo.pixels):
                return f"no face found in {person.place(part, photo)}; remove the photo, or try data.crop=face"
        if not self.scorer.judgement.knows(person.name):
            return f"fewer than {MIN_REFERENCES} clean photos of {person.name} that the judges recognise as a face"
        return ""


def _explained(error: BaseException) -> str:
    """What went wrong, and where."""
    place = traceback.extract_tb(error.__traceback__)[-1]
    said = f"{reason_of(error)} (at {place.filename}:{place.lineno})"
    # That of torch; pictures are made in smaller batches before it comes to this.
    if type(error).__name__ == "OutOfMemoryError":
        said += " Use model.memory=low, model.precision=bf16, attack.batch=1, fits_together=1 or fewer workers."
    return said


def too_few(cell: Cell) -> str:
    """Why the attacker cannot have so many photos uncloaked, or nothing."""
    asked, there = cell.attack.instance.clean_photos, len(cell.identity.protect)
    return f"attack.clean_photos={asked}, but {cell.identity.name} has {there} photos" if asked > there else ""
