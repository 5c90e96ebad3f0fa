"""From settings to cells: which combinations a run consists of, with everything resolved that decides their results."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from attacks import ATTACKS, Attack
from bench.config.resolved_method import ResolvedMethod
from bench.config.schema import (
    EQUAL_EFFORT,
    Chain,
    DefenseSpec,
    Effort,
    Grid,
    Method,
    ModelSettings,
    Protocol,
    RunSettings,
)
from bench.core.code_version import CODE
from bench.core.errors import BenchError, reason_of
from bench.core.hashing import hash_of
from bench.core.stated_paths import shortened
from bench.core.types import Budget, Dataset, Identity, Photo
from bench.data import SOURCES, pseudonyms
from bench.models.diffusion.model_cache import Pool
from bench.models.faces.panel import Panel
from bench.models.weights.loadable import refuse_settings
from bench.models.weights.published import Missing, Published, merged, together
from bench.results.record import PROTOCOL, ModelFacts
from bench.store import default_root
from countermeasures import COUNTERMEASURES, Countermeasure
from defenses import DEFENSES, Defense

if TYPE_CHECKING:
    from bench.models.diffusion.recipe import Recipe

_NOTHING: Chain = (Method(name="none"),)

Facts = dict[str, Any]
"""A method's name and settings, as plain values."""


@dataclass(frozen=True)
class Cell:
    """One combination: identity x defense(budget) x countermeasure x attack x base x seed.

    `weights` are the fingerprints of the base, the surrogates and the methods' own files: two checkpoints under one
    name are two cells. `skip` says why the cell cannot run here: files of it are missing. `fetchable` are those of
    them that can be fetched.
    """

    data: Dataset
    identity: Identity
    defense: ResolvedMethod[Defense]
    budget: Budget
    countermeasures: tuple[ResolvedMethod[Countermeasure], ...]
    attack: ResolvedMethod[Attack]
    model: ModelSettings
    surrogates: tuple[ModelSettings, ...]
    weights: tuple[str, ...]
    seed: int
    protocol: Protocol
    skip: str = dataclasses.field(default="", compare=False)
    fetchable: tuple[Published, ...] = dataclasses.field(default=(), compare=False)

    @cached_property
    def id(self) -> str:
        """Hash of everything that names the cell. The code is not part of it: a new version replaces the old result."""
        if self.skip:
            return self.combination
        defense = self.defense.facts(self.defense.instance.files())
        attack = self.attack.facts(self.attack.instance.files(self.model.name))
        countermeasures = [each.facts(each.instance.files()) for each in self.countermeasures]
        return self._hash(defense, attack, countermeasures, self.weights)

    @property
    def combination(self) -> str:
        """Hash of what was asked for, whatever the files behind it: the id of a cell that lacks them."""
        return self._hash(
            self.defense.facts(), self.attack.facts(), [each.facts() for each in self.countermeasures], ()
        )

    def _hash(self, defense: Facts, attack: Facts, countermeasures: list[Facts], weights: tuple[str, ...]) -> str:
        methods = shortened({"defense": defense, "countermeasures": countermeasures, "attack": attack})  # as in records
        return hash_of(
            {
                "data": [self.data.name, self.data.fingerprint],
                "identity": [self.identity.name, self.identity.name],  # whose pictures, and whose photos: one person
                "defense": [methods["defense"], self.budget.levels],
                "countermeasures": methods["countermeasures"],
                "attack": methods["attack"],
                "base": facts_of(self.model).model_dump(),
                "surrogates": [facts_of(surrogate).model_dump() for surrogate in self.surrogates],
                "weights": list(weights),
                "seed": self.seed,
                "protocol": protocol_facts(self.protocol),
            }
        )

    @property
    def pretuning(self) -> Recipe | None:
        """How the first surrogate learns the clean photos before the cloak is made, if the defense wants that."""
        return self.defense.instance.pretuning(len(self.taught)) if self.surrogates else None

    @property
    def taught(self) -> list[Photo]:
        """The clean photos that it learns then."""
        return self.defense.instance.taught(self.identity.reference, self.identity.protect)

    @property
    def leaked(self) -> tuple[Photo, ...]:
        """The photos that the attacker has uncloaked."""
        return self.identity.protect[: self.attack.instance.clean_photos]

    @property
    def label(self) -> str:
        """For people: "ada, aspl 8/255, jpeg, dreambooth"."""
        if self.attack.name == "none":
            return f"{self.identity.name}, base"
        cloak = "clean" if self.defense.name == "none" else f"{self.defense.name} {self.budget.levels:g}/255"
        countermeasures = [method.name for method in self.countermeasures if method.name != "none"]
        return ", ".join([self.identity.name, cloak, *countermeasures, self.attack.name])


def protocol_facts(protocol: Protocol) -> dict[str, Any]:
    """What a record states of how a cell was asked and judged."""
    return {**protocol.model_dump(mode="json"), "version": PROTOCOL, "judges": list(Panel().names)}


def load_data(settings: RunSettings) -> Dataset:
    """The data set, at the base's resolution; see `bench.data.pseudonyms` for what its people are called."""
    source = SOURCES.create(settings.data.name, settings.data.settings)
    data = pseudonyms.load(source, settings.model.resolution, default_root(settings.store))
    return dataclasses.replace(data, cut={name: getattr(source, name) for name in source.cut})


def cells(settings: RunSettings, data: Dataset, pool: Pool) -> list[Cell]:
    """All cells of a run, person by person, controls first.

    Every run has its controls: the base without personalisation, no cloak, and noise at the same budget. Without them
    no number says anything about a cloak. A suite goes on without what is not on this machine: those cells say why
    they are skipped. What was asked for by itself is an error instead.

    A dry run skips, and so tells of everything that is missing.

    Raises:
        BenchError: nobody is there, an unknown method or setting, or files are missing and there is no suite.
    """
    people = {person.name: person for person in data.identities}
    if not data.selected:
        raise BenchError(f"{data.name} has nobody.", "Look at its settings: where are the photos?")
    most = max(len(people[name].protect) for name in data.selected)
    planned: dict[str, Cell] = {}
    lacking: list[BenchError] = []
    for name, grid in itertools.product(data.selected, settings.suite.grids):
        model = grid.model or settings.model
        surrogates = (grid.surrogate,) if grid.surrogate else settings.surrogates or (model,)
        _check(grid, model, settings, pool)
        arms = itertools.product(_arms(grid, settings, model), grid.countermeasures or (settings.countermeasure,))
        for (dose, attack), chain in arms:
            # The base sees no photos.
            if (leaked := attack.instance.clean_photos) > most > 0:
                raise BenchError(
                    f"attack.clean_photos={leaked}, but nobody has more than {most} photos to cloak.",
                    "Give at most that many.",
                )
            countermeasures = tuple(_countermeasure(each) for each in (chain if attack.name != "none" else _NOTHING))
            defense = resolved_defense(dose, surrogates[0], settings.effort)
            used = surrogates if defense.instance.needs_surrogate else ()
            weights, skip = _weights((model, *used), defense, attack, countermeasures, pool)
            if skip and not grid.listed and not settings.dry_run:
                lacking.append(skip)
            cell = Cell(
                data=data,
                identity=people[name],
                defense=defense,
                budget=Budget(0 if defense.name == "none" else dose.budget or 0),
                countermeasures=countermeasures,
                attack=attack,
                model=model,
                surrogates=used,
                weights=weights,
                seed=settings.seed,
                protocol=settings.protocol,
                skip=reason_of(skip).replace("\n", " ") if skip else "",
                fetchable=skip.wanted if isinstance(skip, Missing) else (),
            )
            planned.setdefault(cell.id, cell)
    if lacking:
        raise merged(lacking)
    return list(planned.values())


def _weights(
    models: tuple[ModelSettings, ...],
    defense: ResolvedMethod[Defense],
    attack: ResolvedMethod[Attack],
    countermeasures: tuple[ResolvedMethod[Countermeasure], ...],
    pool: Pool,
) -> tuple[tuple[str, ...], BenchError | None]:
    """Fingerprints of the models, the attacker's first, and of the methods' own files; or what is wrong with them."""

    def of_model(model: ModelSettings) -> dict[str, str]:
        return {"": pool.checkpoint(model).fingerprint}

    attacked, surrogates = models[0], models[1:]
    sources: list[Callable[[], dict[str, str]]] = [partial(of_model, model) for model in models]
    sources += [partial(_works_on, method, attacked) for method in (attack, *countermeasures)]
    sources += [partial(_works_on, defense, surrogate) for surrogate in surrogates]
    sources += [partial(_files, defense.instance), partial(attack.instance.files, attacked.name)]
    sources += [each.instance.files for each in countermeasures]
    sources += [partial(_loadable, method.settings) for method in (defense, attack, *countermeasures)]
    try:
        return tuple(digest for files in together(sources) for digest in files.values()), None
    except BenchError as error:
        return (), error


def _works_on(method: ResolvedMethod[Any], model: ModelSettings) -> dict[str, str]:
    """No hashes, but nothing either that needs a U-Net where there is a transformer, or the other way round."""
    families = () if isinstance(method.instance, Countermeasure) else method.instance.families
    if families and model.family not in families:
        raise BenchError(
            f"{method.name} does not work on {model.name}: it wants a model of the family {' or '.join(families)}.",
            "Take another method, or a model of that family (model.family).",
        )
    if model.flow and (reason := method.instance.unet_only):
        raise BenchError(
            f"{method.name} does not work on {model.name}, a flow-matching transformer: {reason}.",
            "Take another method, or a model with a U-Net, such as sd15 or sdxl.",
        )
    return {}


def _loadable(settings: Mapping[str, Any]) -> dict[str, str]:
    """No further hashes, but nothing either that these are not of."""
    refuse_settings(settings)
    return {}


def _files(defense: Defense) -> dict[str, str]:
    """Hashes of a defense's files, without code: a new version of it is the same cell."""
    return {name: digest for name, digest in defense.files().items() if name != CODE}


def _check(grid: Grid, model: ModelSettings, settings: RunSettings, pool: Pool) -> None:
    """Raises BenchError if a grid wants photos of several sizes, or little memory of a GPU without what that takes."""
    for each in (model, grid.surrogate or model):
        if each.memory == "low" and pool.device.startswith("cuda") and find_spec("bitsandbytes") is None:
            raise BenchError(
                "model.memory=low keeps AdamW's state in 8 bits, by bitsandbytes, which is not installed.",
                "pip install 'cloakbench[memory]'",
            )
        if each.resolution != settings.model.resolution:
            raise BenchError(
                f"suite={settings.suite.name} wants photos of {each.resolution} px for {each.name}, and of "
                f"{settings.model.resolution} px for {settings.model.name}.",
                "A run cuts its photos to one size: choose models of one resolution.",
            )


def _arms(grid: Grid, settings: RunSettings, model: ModelSettings) -> list[tuple[DefenseSpec, ResolvedMethod[Attack]]]:
    """(defense and budget, attack) of one person's cells, controls first."""
    doses = grid.defenses
    if doses is None:
        controls = [DefenseSpec(name=name) for name in settings.controls]
        own = DefenseSpec(name=settings.defense.name, settings=settings.defense.settings)
        doses = (*controls, *(dose for dose in [own] if dose.name not in settings.controls))
    budgets = grid.budgets or (settings.budget,)
    spread = [
        dose.model_copy(update={"budget": budget})
        for dose in doses
        for budget in (budgets if dose.budget is None else (dose.budget,))
    ]
    (nothing,), chosen = _NOTHING, (settings.attack,) if grid.attacks is None else grid.attacks
    attacks = [_attack(method, model) for method in chosen if method.name != "none"]
    return [(DefenseSpec(name="none"), _attack(nothing, model)), *((dose, each) for each in attacks for dose in spread)]


def resolved_defense(method: Method, surrogate: ModelSettings, effort: Effort) -> ResolvedMethod[Defense]:
    """A defense with the presets of the base that it optimises against, or as long a loop as an effort allows."""
    made = DEFENSES.create(method.name, method.settings).resolved(surrogate.family)
    if effort != "preset":
        made = made.at_effort(EQUAL_EFFORT if effort == "equal" else effort)
    return ResolvedMethod.of(method.name, made)


def _attack(method: Method, model: ModelSettings) -> ResolvedMethod[Attack]:
    return ResolvedMethod.of(method.name, ATTACKS.create(method.name, method.settings).resolved(model.family))


def _countermeasure(method: Method) -> ResolvedMethod[Countermeasure]:
    return ResolvedMethod.of(method.name, COUNTERMEASURES.create(method.name, method.settings))


def facts_of(model: ModelSettings) -> ModelFacts:
    """What names a model: where its files happen to lie does not, nor what changes no digit."""
    facts = model.model_dump(mode="json", exclude={"source", "mirrors", *vars(model.computing)})
    return ModelFacts(**facts, precision=model.computing.arithmetic)
