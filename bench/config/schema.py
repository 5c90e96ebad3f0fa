"""The settings of a run, as types with their checks; `bench.config.parsing` makes them of what Hydra composes."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from bench.config.compute import Computing
from bench.config.prompts import Template, check_different
from bench.config.shorthand import defense_of, method_of, model_of
from bench.core.errors import unknown_name
from bench.core.meaning import as_meant
from bench.core.ranges import Budgeted, Count, Guidance, Range, SamplerSteps, Several
from bench.core.strict import Strict

LARGEST = 2**63 - 1
"""A seed: what tables of results can hold."""
EQUAL_EFFORT = 300
"""Network evaluations a photo with `effort=equal`."""
Effort = Annotated[int, Range(ge=1, le=100_000, unit="network evaluations a photo")] | Literal["preset", "equal"]
LATENT = 8
"""Pixels that a latent's pixel stands for, along a side."""


class _Settings(Strict):
    @model_validator(mode="before")
    @classmethod
    def _as_meant(cls, values: Any) -> Any:
        """One value is a list of one, and a number is a name, where lists and names are meant."""
        if not isinstance(values, Mapping):
            return values
        fields = cls.model_fields
        return {k: as_meant(fields[k].annotation, v) if k in fields else v for k, v in values.items()}


class Method(_Settings):
    """A plug-in by name, with its settings."""

    name: str
    settings: dict[str, Any] = Field(default={})


FLOW = {"SD3Transformer2DModel": "sd3", "FluxTransformer2DModel": "flux"}
"""Class of a flow-matching transformer -> the family of its models."""


class ModelSettings(_Settings):
    """A base model and how it is used."""

    name: str
    source: str = "zoo"
    """"zoo", a local diffusers folder, or a hub id."""
    revision: str | None = None
    mirrors: tuple[str, ...] = ()
    """Hub ids of copies, named when `source` cannot be had, never used unasked."""
    family: str = "sd"
    """Chooses the "auto" presets of defenses and attacks; says whether it is a transformer (`FLOW`)."""
    resolution: Annotated[int, Range(ge=8, le=4096, unit="pixels")] = 512
    """Side of the photos in pixels."""
    precision: Literal["fp32", "bf16"] = "bf16"
    channels_last: bool = False
    compile: bool = False
    offload: bool = False
    memory: Literal["normal", "low"] = "normal"
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
    def flow(self) -> bool:
        """Whether it is a flow-matching transformer, and has no U-Net."""
        return self.family in FLOW.values()

    @property
    def guidance_told(self) -> bool:
        """Whether the network is told the guidance, so that there is no second pass without a prompt."""
        return self.family == "flux"

    @property
    def computing(self) -> Computing:
        """How it computes."""
        return Computing(self.precision, self.channels_last, self.compile, self.offload, self.memory)


class DefenseSpec(Method):
    """A defense of a suite, with a budget of its own if it has one: papers compare methods at unequal budgets."""

    budget: Budgeted | None = None


Chain = tuple[Method, ...]
"""Countermeasures, one after another."""


class Grid(_Settings):
    """A product of methods; what it leaves open is chosen by the run's own settings."""

    defenses: tuple[DefenseSpec, ...] | None = None
    """Defenses to run, controls included; null: those of `controls` and `defense`."""
    attacks: tuple[Method, ...] | None = None
    """Attacks to run; null: that of `attack`."""
    countermeasures: tuple[Chain, ...] | None = None
    """What happens to the photos first; null: that of `countermeasure`."""
    budgets: tuple[Budgeted, ...] | None = None
    """Budgets of all defenses that have none of their own; null: that of `budget`."""
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
        return None if value is None else model_of(value)

    @field_validator("defenses", mode="before")
    @classmethod
    def _doses(cls, value: Any) -> Any:
        """Defenses may be written as names, or as a name, a budget and some settings."""
        return None if value is None else [defense_of(item) for item in value]

    @field_validator("countermeasures", mode="before")
    @classmethod
    def _chains(cls, value: Any) -> Any:
        """Countermeasures may be written as names, as a name and some settings, or as lists of these, in order."""
        if value is None:
            return None
        return [[method_of(one) for one in (item if isinstance(item, list | tuple) else [item])] for item in value]

    @field_validator("attacks", mode="before")
    @classmethod
    def _methods(cls, value: Any) -> Any:
        """Attacks may be written as names, or as a name and some settings."""
        return None if value is None else [method_of(item) for item in value]


class Suite(Grid):
    """A named grid, or several."""

    name: str
    parts: dict[str, Grid] = Field(default={})
    """Grids by name, which take the place of the suite's own; a cell in several of them runs once."""
    only: tuple[str, ...] = ()
    """The parts to do; empty: all."""

    @property
    def grids(self) -> tuple[Grid, ...]:
        """What the suite consists of.

        Raises:
            BenchError: `only` names a part that is not there.
        """
        for name in self.only:
            if name not in self.parts:
                raise unknown_name(f"part of suite={self.name}", name, self.parts)
        return tuple(part for name, part in self.parts.items() if not self.only or name in self.only) or (self,)


class Protocol(_Settings):
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


class MetricSettings(_Settings):
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


class RunSettings(_Settings):
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
    effort: Effort = "preset"
    """Of iterative cloaks: as their presets say, `EQUAL_EFFORT` for all, or so much; see `Defense.at_effort`."""
    seed: Annotated[int, Range(ge=0, le=LARGEST, unit="a seed of 63 bits")] = 0
    out: str | None = None
    store: str | None = None
    keep_artifacts: bool = False
    fits_together: Annotated[int, Range(ge=1, le=1024, unit="fits")] = 1
    """How many fits of one attack share a pass, if it can do that. Results differ in the last digits from number to
    number, never by who the others are."""
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

    @field_validator("effort", mode="before")
    @classmethod
    def _effort(cls, value: Any) -> Any:
        if value not in ("preset", "equal") and (not isinstance(value, int) or value < 1):
            raise ValueError("give preset, equal, or a number of network evaluations a photo, as 300")
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
        return [model_of(item) for item in value] if isinstance(value, list | tuple) else value


def shipped_model(name: str) -> ModelSettings:
    """A base that is shipped, with the settings of its file under conf/model.

    Raises:
        BenchError: no such base.
    """
    return ModelSettings.model_validate(model_of(name))
