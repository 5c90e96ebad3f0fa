"""Numbers of settings: every one has a range, and what lies outside is named before anything is computed."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from dataclasses import dataclass
from types import UnionType
from typing import Annotated, Any, ClassVar, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from pydantic import BaseModel

from bench.config.methods import REGISTRIES, registry_of
from bench.config.schema import DefenseSpec, Grid, ModelSettings, Protocol, RunSettings, Suite
from bench.core.errors import BenchError
from bench.core.ranges import Budgeted, Count, Range, StepLevels
from bench.core.registry import build, hints
from tests.support.settings import parsed

PLUGINS = [(group, name) for group in REGISTRIES for name in registry_of(group).names()]
MODELS: list[type[BaseModel]] = [ModelSettings, DefenseSpec, Grid, Suite, Protocol, RunSettings]


def numbers(hint: Any, bounds: Range | None = None) -> Iterator[tuple[type, Range | None]]:
    """Every `int` and `float` in an annotation, with its range."""
    if hint in (int, float):
        yield hint, bounds
    elif get_origin(hint) is Annotated:
        inner, *marks = get_args(hint)
        yield from numbers(inner, next((mark for mark in marks if isinstance(mark, Range)), bounds))
    elif get_origin(hint) in (Union, UnionType, tuple, list):
        for part in get_args(hint):
            yield from numbers(part, bounds)
    elif get_origin(hint) is dict:
        yield from numbers(get_args(hint)[1], bounds)


def settings_of(cls: type[Any]) -> dict[str, list[tuple[type, Range | None]]]:
    """Setting -> the numbers in it."""
    if issubclass(cls, BaseModel):
        declared = get_type_hints(cls, include_extras=True)
        return {name: list(numbers(declared[name])) for name in cls.model_fields}
    return {name: list(numbers(hint)) for name, hint in hints(cls).items()}


@pytest.mark.parametrize(("group", "name"), PLUGINS)
def test_every_number_of_a_plugin_has_a_range(group: str, name: str) -> None:
    found = settings_of(registry_of(group).get(name))
    assert [setting for setting, each in found.items() for _, bounds in each if bounds is None] == []


@pytest.mark.parametrize("model", MODELS)
def test_every_number_of_a_run_has_a_range(model: type[BaseModel]) -> None:
    assert [setting for setting, each in settings_of(model).items() for _, bounds in each if bounds is None] == []


def outside(kind: type, bounds: Range) -> Iterator[float]:
    """Values next to a range, and none at all."""
    step = 1 if kind is int else 1e-3
    yield from (bound - step for bound in (bounds.ge,) if bound is not None)
    yield from (bound for bound in (bounds.gt, bounds.lt) if bound is not None)
    yield from (bound + step for bound in (bounds.le,) if bound is not None)
    yield from (math.nan, math.inf, -math.inf)


@pytest.mark.parametrize(("group", "name"), PLUGINS)
def test_a_number_outside_its_range_is_named(group: str, name: str) -> None:
    registry = registry_of(group)
    cls = registry.get(name)
    needed = {
        f.name: "x" for f in dataclasses.fields(cls) if f.init and f.default is f.default_factory is dataclasses.MISSING
    }
    for setting, each in settings_of(cls).items():
        several = "tuple" in str(hints(cls)[setting])
        for kind, bounds in each:
            assert bounds is not None
            for value in outside(kind, bounds):
                with pytest.raises(BenchError) as caught:
                    registry.create(name, needed | {setting: [value] if several else value})
                where = f"{registry.place(name)}.{setting}{'.0' if several else ''}"
                assert caught.value.message == f"Bad setting {where}={value!r}."
                assert str(bounds) in caught.value.fix


@pytest.mark.parametrize("group", REGISTRIES)
def test_defaults_and_presets_are_within_their_ranges(group: str) -> None:
    registry = registry_of(group)
    for name in registry.names():
        cls = registry.get(name)
        needed = {
            f.name: "x"
            for f in dataclasses.fields(cls)
            if f.init and f.default is f.default_factory is dataclasses.MISSING
        }
        made = registry.create(name, needed)
        values = {f.name: getattr(made, f.name) for f in dataclasses.fields(cls) if f.init}
        for preset in [{}, *getattr(cls, "presets", {}).values()]:
            again = registry.create(name, {**values, **preset})
            assert all(getattr(again, key) == value for key, value in preset.items())


# --- the units of budgets and steps ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("written", "levels"),
    [
        ("8/255", 8),
        ("' 8 / 255'", 8),
        ("12.75/255", 12.75),
        ("0/255", 0),
        ("8", 8),
        ("12.75", 12.75),
        ("0", 0),
        ("1", 1),
    ],
)
def test_a_budget_may_be_written_as_papers_do(written: str, levels: float) -> None:
    assert parsed(f"budget={written}").budget == levels


def test_budgets_of_suites_too() -> None:
    suite = parsed("suite.budgets=[8/255,16]", "suite.defenses=[{name: aspl, budget: 4/255}]").suite
    assert suite.budgets == (8, 16)
    assert suite.defenses is not None
    assert suite.defenses[0].budget == 4


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ("budget", "budget={}"),
        ("suite.budgets.0", "suite.budgets=[{}]"),
        ("suite.defenses.0.budget", "suite.defenses=[{{name: aspl, budget: {}}}]"),
    ],
)
@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("0.05", ["that is 12.75, about 13/255", "give 12.75, or 13"]),
        ("0.03", ["that is 7.65, about 8/255", "give 7.65, or 8"]),
        ("0.2", ["that is 51: give 51."]),
        ("0.001", ["give 0, or at least 1"]),
    ],
)
def test_a_budget_in_another_unit_is_converted(where: str, words: str, value: str, said: list[str]) -> None:
    with pytest.raises(BenchError) as caught:
        parsed(words.format(value))
    assert caught.value.message == f"Bad setting {where}={value}."
    for part in ["rey levels of 255", *said]:
        assert part in caught.value.fix


@pytest.mark.parametrize(("value", "same"), [("8/256", "7.96875"), ("1/32", "7.96875"), ("16/128", "31.875")])
def test_other_denominators_are_converted_and_refused(value: str, same: str) -> None:
    with pytest.raises(BenchError, match=f"Bad setting budget='{value}'") as caught:
        parsed(f"budget={value}")
    assert f"{value} of the range is {same}" in caught.value.fix


def test_a_step_in_another_unit_is_converted() -> None:
    """DLADiff's is published as 5e-3 of [0, 1]."""
    defenses = registry_of("defense")
    with pytest.raises(BenchError, match=r"defense\.step=0\.005") as caught:
        defenses.create("dladiff", {"step": 5e-3})
    assert "that is 1.275: give 1.275" in caught.value.fix
    assert defenses.create("dladiff", {"step": "2/255"}).step == 2
    assert defenses.create("dladiff", {"face_step": 0.204}).face_step == 0.204


# --- what a plug-in gets --------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Veil:
    """A stranger's plug-in."""

    layers: Count = 1
    budget: Budgeted | None = None
    step: StepLevels = 1.0
    blur: Annotated[float, Range(ge=0, lt=20, unit="pixels")] = 1.0
    free: float = 1.0
    many: tuple[float, ...] = ()
    kinds: ClassVar[tuple[float, ...]] = (math.nan,)
    mode: Literal[1, 2] = 1

    def __post_init__(self) -> None:
        if self.layers > 3 and self.blur > 3:
            raise ValueError("layers and blur are too much together")


@pytest.mark.parametrize(
    ("settings", "message", "fix"),
    [
        ({"layers": True}, "layers=true", "Give a whole number of at least 1."),
        ({"layers": 1.5}, "layers=1.5", "Give a whole number of at least 1."),
        ({"layers": "many"}, "layers='many'", "Give a whole number of at least 1."),
        ({"blur": 20}, "blur=20", "Give a number of at least 0 and below 20 (pixels)."),
        ({"budget": 0.1}, "budget=0.1", "that is 25.5, about 26/255"),
        ({"free": math.nan}, "free=nan", "Give a finite number."),
        ({"free": "inf"}, "free=inf", "Give a finite number."),
        ({"many": [1.0, -math.inf]}, "many=[1.0, -inf]", "Give a finite number."),
        ({"layers": 4, "blur": 4, "free": 2}, "layers=4, blur=4", "Layers and blur are too much together."),
    ],
)
def test_messages_name_setting_value_range_and_unit(settings: dict[str, Any], message: str, fix: str) -> None:
    with pytest.raises(BenchError) as caught:
        build(Veil, settings)
    assert caught.value.message == f"Bad setting {message}."
    assert fix in caught.value.fix


def test_right_values_are_left_as_they_are() -> None:
    made = build(Veil, {"layers": "2", "budget": None, "blur": 0, "free": -1e9, "many": [0.5]})
    assert made == Veil(layers=2, blur=0.0, free=-1e9, many=(0.5,))


@pytest.mark.parametrize(
    ("word", "said"),
    [
        ("seed=9223372036854775808", "at most 9223372036854775807"),
        ("retries=-1", "at least 0"),
        ("timeout=0", "above 0 (seconds)"),
        ("timeout=inf", "above 0 (seconds)"),
        ("workers=true", "at least 1"),
        ("model.steps=1001", "at most 1000"),
        ("model.guidance=-1", "at least 0"),
        ("model.resolution=100", "a multiple of 8, as 96"),
        ("protocol.images_per_prompt=0", "at least 1"),
        ("protocol.far=1", "below 1 (a share"),
        ("surrogates=[{name: facelet-2, steps: 0}]", "at least 1"),
    ],
)
def test_settings_of_a_run_have_ranges(word: str, said: str) -> None:
    with pytest.raises(BenchError, match="Bad setting") as caught:
        parsed(word)
    assert said in caught.value.fix


@pytest.mark.parametrize(
    ("group", "name", "settings", "said"),
    [
        ("countermeasure", "blur", {"kernel_at_512": 4}, "Kernel_at_512 must be odd"),
        ("countermeasure", "adverse_cleaner", {"diameter_at_512": 4}, "Diameter_at_512 must be odd"),
        ("countermeasure", "impress", {"last_rate": 0.5}, "must be at most rate"),
        ("countermeasure", "sd_img2img", {"steps": 5}, "is not one step"),
        ("defense", "dladiff", {"sides": []}, "at least 1 item"),
        ("defense", "disdiff", {"token": "hot"}, "must be a word of prompt"),
        ("defense", "aspl", {"prior_weight": 1, "prompt": "a photo of  person"}, "must differ"),
        ("defense", "precomputed", {"label": " ", "root": "x"}, "pattern"),
    ],
)
def test_settings_that_do_not_go_together_are_named(group: str, name: str, settings: dict[str, Any], said: str) -> None:
    with pytest.raises(BenchError, match="Bad setting") as caught:
        registry_of(group).create(name, settings)
    assert said in caught.value.fix
