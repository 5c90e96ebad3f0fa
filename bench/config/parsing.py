"""What Hydra composes becomes the types of `bench.config.schema`; errors name settings as the command line does."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from importlib.resources import files
from typing import Any, get_args, get_origin

from pydantic import BaseModel, ValidationError

from bench.config.schema import RunSettings
from bench.config.shorthand import method_of
from bench.core.errors import BenchError, unknown_name
from bench.core.meaning import bad_value, each_in_turn, members, takes_lists, written
from bench.core.paths import all_expanded


def parse(config: Mapping[str, Any]) -> RunSettings:
    """Check a composed configuration.

    Raises:
        BenchError: an unknown key or a value of the wrong type, with what is allowed.
    """
    raw = all_expanded(config)
    for group in ("defense", "attack", "data", "logger"):
        raw[group] = method_of(_chosen(group, raw.get(group)))
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
