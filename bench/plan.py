"""From settings to cells: which combinations a run consists of, with everything resolved that decides their results."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import Any

from attacks import ATTACKS, Attack
from bench.data import SOURCES
from bench.hashing import hash_of
from bench.models.pool import Pool
from bench.settings import Method, ModelSettings, RunSettings
from bench.types import Budget, Dataset, Identity
from countermeasures import COUNTERMEASURES, Countermeasure
from defenses import DEFENSES, Defense


@dataclass(frozen=True)
class Cell:
    """One combination: identity x defense(budget) x countermeasure x attack x base x seed.

    Methods come twice: as names with resolved settings (what a record states) and as objects (what runs). `weights`
    are the fingerprints of the base and the surrogates: two checkpoints under one name are two cells.
    """

    data: Dataset
    identity: Identity
    defense: Method
    budget: Budget
    countermeasure: Method
    attack: Method
    model: ModelSettings
    surrogates: tuple[ModelSettings, ...]
    weights: tuple[str, ...]
    seed: int
    protocol: dict[str, Any]
    defend: Defense = dataclasses.field(compare=False)
    counter: Countermeasure = dataclasses.field(compare=False)
    attacker: Attack = dataclasses.field(compare=False)

    @property
    def id(self) -> str:
        """Hash of everything that names the cell. The code is not part of it: a new version replaces the old result."""
        return hash_of(
            {
                "data": [self.data.name, self.data.fingerprint],
                "identity": self.identity.name,
                "defense": [self.defense.facts(), self.budget.levels],
                "countermeasure": self.countermeasure.facts(),
                "attack": self.attack.facts(),
                "base": _facts(self.model),
                "surrogates": [_facts(surrogate) for surrogate in self.surrogates],
                "weights": list(self.weights),
                "seed": self.seed,
                "protocol": self.protocol,
            }
        )

    @property
    def label(self) -> str:
        """For people: "ada, aspl 8/255, dreambooth"."""
        if self.attack.name == "none":
            return f"{self.identity.name}, base"
        cloak = "clean" if self.defense.name == "none" else f"{self.defense.name} {self.budget.levels:g}/255"
        return f"{self.identity.name}, {cloak}, {self.attack.name}"


def load_data(settings: RunSettings) -> Dataset:
    """The data set, at the base's resolution."""
    source = SOURCES.create(settings.data.name, settings.data.settings)
    return source.load(settings.model.resolution)


def cells(settings: RunSettings, data: Dataset, pool: Pool) -> list[Cell]:
    """All cells of a run, person by person, controls first.

    Every run has its controls: the base without personalisation, no cloak, and noise at the same budget. Without them
    no number says anything about a cloak.

    Raises:
        BenchError: an unknown method or setting.
    """
    surrogates = settings.surrogates or (settings.model,)
    attack, attacker = _attack(settings.attack, settings.model)
    nothing, bystander = _attack(Method(name="none"), settings.model)
    countermeasure, counter = _countermeasure(settings.countermeasure)
    arms = [(Method(name="none"), nothing, bystander)]
    if attack.name != "none":
        controls = [Method(name=name) for name in settings.controls]
        chosen = [*controls, *(m for m in [settings.defense] if m.name not in settings.controls)]
        arms += [(method, attack, attacker) for method in chosen]

    people = {person.name: person for person in data.identities}
    found = []
    for name in data.selected:
        for method, attack_method, attack_object in arms:
            defense, defend = _defense(method, surrogates[0])
            used = surrogates if defend.needs_surrogate else ()
            found.append(
                Cell(
                    data=data,
                    identity=people[name],
                    defense=defense,
                    budget=Budget(0 if defense.name == "none" else settings.budget),
                    countermeasure=countermeasure,
                    attack=attack_method,
                    model=settings.model,
                    surrogates=used,
                    weights=tuple(pool.checkpoint(model).fingerprint for model in (settings.model, *used)),
                    seed=settings.seed,
                    protocol=settings.protocol.model_dump(mode="json"),
                    defend=defend,
                    counter=counter,
                    attacker=attack_object,
                )
            )
    return found


def _defense(method: Method, surrogate: ModelSettings) -> tuple[Method, Defense]:
    made = DEFENSES.create(method.name, method.settings).resolved(surrogate.family)
    return Method(name=method.name, settings=_settings(made)), made


def _attack(method: Method, model: ModelSettings) -> tuple[Method, Attack]:
    made = ATTACKS.create(method.name, method.settings).resolved(model.family)
    return Method(name=method.name, settings=_settings(made)), made


def _countermeasure(method: Method) -> tuple[Method, Countermeasure]:
    made = COUNTERMEASURES.create(method.name, method.settings)
    return Method(name=method.name, settings=_settings(made)), made


def _settings(made: Any) -> dict[str, Any]:
    """A plug-in's settings as plain values, lists instead of tuples."""
    values = {f.name: getattr(made, f.name) for f in dataclasses.fields(made) if f.init}
    return {key: list(value) if isinstance(value, tuple) else value for key, value in values.items()}


def _facts(model: ModelSettings) -> dict[str, Any]:
    """What names a model: where its files happen to lie does not."""
    return model.model_dump(mode="json", exclude={"source"})
