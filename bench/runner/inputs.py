"""Everything that a run is given, checked before any work, and all that is wrong told at once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import TypeVar

from bench.config.schema import RunSettings
from bench.core.errors import BenchError
from bench.core.types import Identity
from bench.data import SOURCES
from bench.data.duplicates import refuse
from bench.data.pseudonyms import told
from bench.loggers.guard import Guard
from bench.models.diffusion.model_cache import Pool
from bench.models.faces.insightface import analyser, locate_pack
from bench.models.weights.loadable import refuse_settings
from bench.models.weights.published import merged
from bench.report.sanity_checks.run_checks import LOOK
from bench.runner import estimate
from bench.runner.pipeline import Pipeline, too_few
from bench.runner.places import refuse_full, refuse_unwritable
from bench.runner.plan import Cell, cells, load_data
from bench.runner.prompt_lengths import check_texts
from bench.store import Store, default_root

T = TypeVar("T")


def checked(settings: RunSettings, out: Path, logger: Guard, pool: Pool) -> tuple[list[Cell], Pipeline]:
    """The cells of a run, and what executes them. Nothing has been computed or written yet.

    Args:
        settings: what to do.
        out: the run's folder.
        logger: its logger.
        pool: its models.

    Raises:
        BenchError: names everything that is wrong: places, devices, weights, methods, data and photos.
    """
    problems: list[BenchError] = []

    def attempt(check: Callable[[], T]) -> T | None:
        try:
            return check()
        except BenchError as error:
            problems.append(error)
            return None

    root = default_root(settings.store)
    attempt(logger.check)
    attempt(lambda: refuse_unwritable(out, "out"))
    attempt(lambda: refuse_unwritable(root, "store"))
    for device in settings.devices:
        attempt(lambda device=device: Pool(device).device)  # type: ignore[misc]
    if not settings.dry_run:  # which tells of weights that are missing beside its cells
        for model in (settings.model, *settings.surrogates):
            attempt(lambda model=model: pool.checkpoint(model))  # type: ignore[misc]
    attempt(lambda: refuse_settings([settings.metric.recognisers, settings.metric.clip]))
    data = attempt(lambda: load_data(settings))
    planned = None if data is None else attempt(lambda: cells(settings, data, pool))
    if data is None or planned is None or problems:
        raise merged(problems)
    pipeline = Pipeline(settings, data, Store(root), pool)
    attempt(lambda: pipeline.panel.fingerprint)
    attempt(lambda: refuse(pipeline.duplicates, data.selected))
    attempt(lambda: check_texts(planned, pool))
    for check in _of_cells(planned):
        attempt(check)
    attempt(lambda: refuse_full(root, estimate.disk(planned, pipeline), "store"))
    if problems:
        raise merged([BenchError(told(data, error.message), told(data, error.fix)) for error in problems])
    return planned, pipeline


def _of_cells(planned: Sequence[Cell]) -> Iterator[Callable[[], None]]:
    """What each person's photos must have for the defenses, each asked once."""
    asked = set()
    for cell in planned:
        key = (cell.identity.name, str(cell.defense.facts()), cell.budget.levels)
        if cell.skip or cell.identity.problem or key in asked:
            continue
        asked.add(key)
        yield lambda cell=cell: cell.defense.instance.check(cell.identity, cell.budget)  # type: ignore[misc]


def warnings(planned: Sequence[Cell], pipeline: Pipeline) -> list[str]:
    """What to know before a run: who cannot be measured, which photos are doubtful, what will not be measured.

    The judges look at every photo, which is kept. Of invented people all is known: there they do not.

    Raises:
        BenchError: nobody can be measured.
    """
    said = [f"{reason} It will be missing." for reason in pipeline.scorer.lacking()]
    if SOURCES.get(pipeline.settings.data.name).invented or pipeline.settings.mode == "read_only":
        return said
    data = pipeline.data
    people = {cell.identity.name: cell.identity for cell in planned if not cell.skip}
    reasons = {name: reason for name, person in people.items() if (reason := pipeline.problem(person))}
    if people and len(reasons) == len(people):
        raise BenchError(
            told(data, f"None of {len(people)} people can be measured: {'; '.join(dict.fromkeys(reasons.values()))}."),
            "Each photo should show one face; try data.crop=face.",
        )
    said += [f"{name} cannot be measured: {reason}." for name, reason in reasons.items()]
    if reasons:
        said.append(f"{len(people) - len(reasons)} of {len(people)} people remain.")
    said += dict.fromkeys(f"{reason}." for cell in planned if (reason := too_few(cell)))
    said += _without_face(planned, [person for name, person in people.items() if name not in reasons])
    return [told(data, line) for line in (*said, *(f"{doubt} {LOOK}" for doubt in pipeline.doubts))]


def _without_face(planned: Sequence[Cell], people: Sequence[Identity]) -> Iterator[str]:
    """Whose photos show the face detector of a method no face at all."""
    packs: dict[str, str] = {}
    for cell in planned:
        if "recogniser" in (() if cell.skip else cell.attack.instance.files(cell.model.name)):
            packs.setdefault(str(cell.attack.settings["recogniser"]), f"attack={cell.attack.name}")
        for source in (cell.defense.settings.get("recognisers") or ())[:1]:
            packs.setdefault(str(source), f"defense={cell.defense.name}")
    for source, method in packs.items():
        look = analyser(locate_pack(source))
        blind = [p.name for p in people if not any(look.faces(photo.pixels) for photo in p.protect)]
        if blind:
            yield (
                f"{method}: its face detector finds no face in any photo of {', '.join(blind)}; "
                f"{len(people) - len(blind)} of {len(people)} people remain."
            )
