"""The configuration of a run, checked: what Hydra composes becomes these types, and an unknown key is an error."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from typing import Annotated, Any, Literal, get_args, get_origin

from omegaconf import OmegaConf
from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

from bench.config.compute import Computing
from bench.config.prompts import Template, check_different
from bench.core.errors import BenchError, unknown_name
from bench.core.meaning import as_meant, bad_value, each_in_turn, members, takes_lists, written
from bench.core.paths import all_expanded
from bench.core.ranges import Budgeted, Count, Guidance, Range, SamplerSteps, Several

LARGEST = 2**63 - 1
"""A seed: what tables of results can hold."""
LATENT = 8
"""Pixels that a latent's pixel stands for, along a side."""


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, values: Any) -> Any:
        """One value is a list of one, and a number is a name, where lists and names are meant."""
        if not isinstance(values, Mapping):
            return values
        fields = cls.model_fields
        return {k: as_meant(fields[k].annotation, v) if k in fields else v for k, v in values.items()}


class Method(_Strict):
    """A plug-in by name, with its settings."""

    name: str
    settings: dict[str, Any] = {}

    def without(self, names: Collection[str]) -> Method:
        """The same method without some settings: those that say where files lie, whose content is hashed instead."""
        return Method(name=self.name, settings={k: v for k, v in self.settings.items() if k not in names})

    def facts(self) -> dict[str, Any]:
        """Plain values for keys and records."""
        return {"name": self.name, "config": self.settings}


class ModelSettings(_Strict):
    """A base model and how it is used."""

    name: str
    source: str = "zoo"
    """"zoo", a local diffusers folder, or a hub id."""
    revision: str | None = None
    mirrors: tuple[str, ...] = ()
    """Hub ids of copies, named when `source` cannot be had, never used unasked."""
    family: str = "sd"
    """Chooses the "auto" presets of defenses and attacks."""
    resolution: Annotated[int, Range(ge=8, le=4096, unit="pixels")] = 512
    """Side of the photos in pixels."""
    precision: Literal["fp32", "bf16"] = "bf16"
    channels_last: bool = False
    compile: bool = False
    offload: bool = False
    """These and the precision: see `Computing`."""
    steps: SamplerSteps = 25
    """Sampler steps."""
    guidance: Guidance = 7.5

    @field_validator("resolution")
    @classmethod
    def _even(cls, value: int) -> int:
        if value % LATENT:
            raise ValueError(f"give a multiple of {LATENT}, as {value - value % LATENT}: pixels of a latent's side")
        return value

    @property
    def computing(self) -> Computing:
        """How it computes."""
        return Computing(self.precision, self.channels_last, self.compile, self.offload)


class DefenseSpec(Method):
    """A defense of a suite, with a budget of its own if it has one: papers compare methods at unequal budgets."""

    budget: Budgeted | None = None


Chain = tuple[Method, ...]
"""Countermeasures, one after another."""


class Grid(_Strict):
    """A product of methods; what it leaves open is chosen by the run's own settings."""

    defenses: tuple[DefenseSpec, ...] | None = None
    """Defenses to run, controls included; null: those of `controls` and `defense`."""
    attacks: tuple[Method, ...] | None = None
    """Attacks to run; null: that of `attack`."""
    countermeasures: tuple[Chain, ...] | None = None
    """What happens to the photos first; null: that of `countermeasure`."""
    budgets: tuple[Budgeted, ...] | None = None
    """Budgets of all defenses that have none of their own; null: that of `budget`."""
    another_person: bool = False
    """Whether to also score what each attack makes of the *next* person's photos: nobody should pass for a stranger."""
    model: ModelSettings | None = None
    """The attacker's base; null: that of `model`."""
    surrogate: ModelSettings | None = None
    """The base the defender optimises against; null: those of `surrogates`."""

    @property
    def listed(self) -> bool:
        """Whether the grid names methods itself."""
        return self.defenses is not None or self.attacks is not None

    @field_validator("model", "surrogate", mode="before")
    @classmethod
    def _models(cls, value: Any) -> Any:
        """Bases may be written as the name of a shipped one, or as a name and what differs."""
        return None if value is None else _model(value)

    @field_validator("defenses", mode="before")
    @classmethod
    def _doses(cls, value: Any) -> Any:
        """Defenses may be written as names, or as a name, a budget and some settings."""
        return None if value is None else [_dose(item) for item in value]

    @field_validator("countermeasures", mode="before")
    @classmethod
    def _chains(cls, value: Any) -> Any:
        """Countermeasures may be written as names, as a name and some settings, or as lists of these, in order."""
        if value is None:
            return None
        return [[_method(one) for one in (item if isinstance(item, list | tuple) else [item])] for item in value]

    @field_validator("attacks", mode="before")
    @classmethod
    def _methods(cls, value: Any) -> Any:
        """Attacks may be written as names, or as a name and some settings."""
        return None if value is None else [_method(item) for item in value]


class Suite(Grid):
    """A named grid, or several."""

    name: str
    parts: dict[str, Grid] = {}
    """Grids by name, which take the place of the suite's own; a cell in several of them runs once."""

    @property
    def grids(self) -> tuple[Grid, ...]:
        """What the suite consists of."""
        return tuple(self.parts.values()) or (self,)


class Protocol(_Strict):
    """What every attack is asked to generate, and how leaks are counted."""

    prompts: tuple[Template, ...] = Field(min_length=1)
    images_per_prompt: Count
    far: Annotated[float, Range(gt=0, lt=1, unit="a share: 0.01 is one in a hundred")] = 0.01
    """False-accept rate at which the leak threshold is calibrated."""

    @field_validator("prompts")
    @classmethod
    def _different(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        check_different(value)
        return value

    @property
    def asked(self) -> tuple[str, ...]:
        """The prompt, with `{subject}`, of every picture of a cell."""
        return tuple(prompt for prompt in self.prompts for _ in range(self.images_per_prompt))


class MetricSettings(_Strict):
    """What is measured besides the judge's scores, and what needs no weights. What is not to be had says so."""

    name: str = "embedded"
    recognisers: tuple[str, ...] = ("facelet-id-a", "facelet-id-b")
    """Witnesses: shipped packs, those of insightface, or folders."""
    quality: tuple[str, ...] = ("blur",)
    """Scores of generated pictures: "blur", "clip_score", or pyiqa's."""
    visibility: tuple[str, ...] = ()
    """pyiqa's scores of cloaked photos."""
    clip: str = "openai/clip-vit-large-patch14"
    """The model behind "clip_score": a folder, or a hub id that is in the hub's cache."""


class RunSettings(_Strict):
    """One run: the person's choice of everything."""

    defense: Method
    attack: Method
    countermeasure: Chain
    data: Method
    suite: Suite
    model: ModelSettings
    surrogates: tuple[ModelSettings, ...] = ()
    """Bases the defender optimises against; empty means the attacker's own base (white box)."""
    protocol: Protocol
    metric: MetricSettings = MetricSettings()
    logger: Method
    controls: tuple[str, ...] = ("none", "noise")
    budget: Budgeted = 8
    seed: Annotated[int, Range(ge=0, le=LARGEST, unit="a seed of 63 bits")] = 0
    out: str | None = None
    store: str | None = None
    keep_artifacts: bool = False
    device: str | tuple[str, ...] = "auto"
    """Where models compute; several: a worker on each."""
    workers: Count | Literal["auto"] = "auto"
    """Processes that do cells at once; auto: one a device, on a CPU one a core for embedded models."""
    threads: Annotated[int, Range(ge=1, le=1024, unit="threads of a worker")] | None = None
    """Threads of a worker on a CPU. Results differ in the last digits from number to number."""
    mode: Literal["cached", "retry", "force", "read_only"] = "cached"
    """What is done about what is there already; see `bench.runner.cache_mode`."""
    retries: Several = 0
    """How often a cell is tried again that failed; what an attack could not fit is a result, and is not."""
    timeout: Annotated[float, Range(gt=0, unit="seconds")] | None = None
    """Seconds that a cell may take, waiting for another worker included; None for no limit."""
    fail_fast: bool = False
    """Whether the run stops at the first cell that failed."""
    plugins: tuple[str, ...] = ()
    dry_run: bool = False

    @property
    def devices(self) -> tuple[str, ...]:
        """Of the workers, in turn."""
        return (self.device,) if isinstance(self.device, str) else self.device

    @field_validator("device")
    @classmethod
    def _device(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        names = (value,) if isinstance(value, str) else value
        if not names or not all(re.fullmatch(r"auto|cpu|mps|(cuda|xpu)(:\d+)?", name) for name in names):
            raise ValueError("give auto, cpu, cuda, cuda:1 or mps, or a list of them, as [cuda:0,cuda:1]")
        return value

    @field_validator("workers", mode="before")
    @classmethod
    def _workers(cls, value: Any) -> Any:
        if value != "auto" and (not isinstance(value, int) or value < 1):
            raise ValueError("give auto, or a number of at least 1")
        return value

    @field_validator("surrogates", mode="before")
    @classmethod
    def _models(cls, value: Any) -> Any:
        """As in a suite."""
        return [_model(item) for item in value] if isinstance(value, list | tuple) else value


def parse(config: Mapping[str, Any]) -> RunSettings:
    """Check a composed configuration.

    Raises:
        BenchError: an unknown key or a value of the wrong type, with what is allowed.
    """
    raw = all_expanded(config)
    for group in ("defense", "attack", "data", "logger"):
        raw[group] = _method(_chosen(group, raw.get(group)))
    for group in ("model", "suite"):
        _chosen(group, raw.get(group))
    chosen = raw.get("countermeasure") or {"none": {}}
    if not isinstance(chosen, Mapping):  # names, as a script may give them
        chosen = {str(name): {} for name in (chosen if isinstance(chosen, list | tuple) else [chosen])}
    raw["countermeasure"] = [{"name": name, "settings": settings or {}} for name, settings in chosen.items()]
    try:
        return RunSettings.model_validate(raw)
    except ValidationError as error:
        raise _explained(error, list(chosen)) from None


def _chosen(group: str, value: Any) -> Any:
    """What was chosen of a group.

    Raises:
        BenchError: nothing, or several.
    """
    if isinstance(value, list | tuple) and len(value) > 1:
        raise BenchError(f"{group}={written(value)}: one is meant.", each_in_turn(group, value))
    value = value[0] if isinstance(value, list | tuple) and value else value
    if value is None or value in ("", [], {}):
        shipped = files("conf").joinpath(group).iterdir()
        raise no_choice(group, sorted(file.name.removesuffix(".yaml") for file in shipped))
    if isinstance(value, Mapping) and value.get("name") is None:
        raise BenchError(f"{group} has no name.", f"Set {group}.name=..., or choose an option: {group}=...")
    return value


def no_choice(group: str, options: Sequence[str]) -> BenchError:
    """The error for a group of which nothing was chosen."""
    return BenchError(f"{group} has no value.", f"Choose one: {', '.join(f'{group}={name}' for name in options)}.")


def _explained(error: ValidationError, countermeasures: list[str]) -> BenchError:
    """The first of pydantic's errors, told by the names that settings have on the command line."""
    first = error.errors()[0]
    location, value, kind = first["loc"], first["input"], first["type"]
    if location[-1] in ("str", "int", "float"):  # one of the types that are possible, and no name
        location = location[:-1]
    where = ".".join(str(part) for part in location)
    if location[0] == "countermeasure" and len(location) > 1:
        where = ".".join(["countermeasure", countermeasures[int(location[1])], *map(str, location[3:])])
    if kind == "extra_forbidden":
        return unknown_name("setting", where, allowed_at(location))
    if kind == "missing":
        return BenchError(f"{where} has no value.", f"Give it: {where}=...")
    if kind in ("model_type", "model_attributes_type", "dict_type"):  # a node, with settings below it
        beside = allowed_at((*location, ""))
        return BenchError(
            f"{where}={written(value)}: it holds settings, and is no value itself.",
            f"Set them one by one: {', '.join(f'{name}=...' for name in beside)}."
            if beside
            else f"None: {where}={{}}.",
        )
    return bad_value(
        where, value, kind, first["msg"], one=not takes_lists(annotation_at(where.split(".")) or list[Any])
    )


def _method(value: Any) -> Any:
    """`{name: ..., <settings>}` or just a name, as `Method` takes it."""
    if not isinstance(value, Mapping):
        return {"name": value}
    return {"name": value.get("name"), "settings": {k: v for k, v in value.items() if k != "name"}}


def _dose(value: Any) -> Any:
    """A defense of a suite, as `DefenseSpec` takes it."""
    made = _method(value)
    settings = dict(made.get("settings", {}))
    return made if "budget" not in settings else made | {"budget": settings.pop("budget"), "settings": settings}


def _model(value: Any) -> Any:
    """A base, as `ModelSettings` takes it: what is not said of one that is shipped, its file under conf/model says."""
    said = dict(value) if isinstance(value, Mapping) else {"name": value}
    shipped = {file.name.removesuffix(".yaml"): file for file in files("conf").joinpath("model").iterdir()}
    if said.get("name") not in shipped:
        if said.keys() == {"name"}:
            raise unknown_name("model", str(said["name"]), shipped)
        return said
    full = OmegaConf.merge(OmegaConf.create(shipped[said["name"]].read_text()), said)
    missing = sorted(OmegaConf.missing_keys(full))
    if missing:
        raise BenchError(f"Model {said['name']!r} has no {missing[0]}.", f"Write {{name: ..., {missing[0]}: ...}}.")
    return OmegaConf.to_container(full)


def shipped_model(name: str) -> ModelSettings:
    """A base that is shipped, with the settings of its file under conf/model.

    Raises:
        BenchError: no such base.
    """
    return ModelSettings.model_validate(_model(name))


def allowed_at(location: tuple[int | str, ...]) -> list[str]:
    """Names of the settings next to an unknown one, with the same prefix."""
    model: type[BaseModel] = RunSettings
    for part in location[:-1]:
        field = model.model_fields.get(str(part))
        below = [one for one in members(field and field.annotation) if isinstance(one, type)]
        if not (below and issubclass(below[0], BaseModel)):
            return []  # inside a list of models: there is no single neighbourhood to suggest from
        model = below[0]
    prefix = "".join(f"{part}." for part in location[:-1])
    return [f"{prefix}{name}" for name in model.model_fields]


def annotation_at(place: Sequence[str]) -> Any:
    """The type of the setting `place[0].place[1]...`; None if it is not one of `RunSettings`."""
    annotation: Any = RunSettings
    for part in place:
        below = members(annotation)[:1]
        if below and get_origin(below[0]) is dict:
            annotation = get_args(below[0])[1]
        elif below and isinstance(below[0], type) and issubclass(below[0], BaseModel):
            field = below[0].model_fields.get(part)
            annotation = field and field.annotation
        else:
            return None
    return annotation
