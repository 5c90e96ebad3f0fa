"""What a value means where it stands: one value is a list of one where a list is meant, a number a name among names.

Whoever writes `plugins=my_cloak.py` or `data.identities=[104]` is understood. What stays wrong is told in the words of
the command line, with what to write instead.
"""

from __future__ import annotations

import collections.abc
import types
import typing
from collections.abc import Mapping
from typing import Annotated, Any, Union, get_args, get_origin

from bench.core.errors import BenchError

LISTS = (tuple, list, set, frozenset, collections.abc.Sequence)
NUMBERS = (int, float, bool, complex)
IN_A_SUITE = {"budget": "suite.budgets", "attack": "suite.attacks", "defense": "suite.defenses"}
"""Settings of one value, and those that hold several in one run."""


def as_meant(annotation: Any, value: Any) -> Any:
    """A value of a setting of this type: in a list if one is meant, and as text if a name is meant.

    The text of a fraction or of a truth value is lost by now, so these stay what they are, and are refused.
    """
    options = members(annotation)
    inner = [option for option in options if get_origin(option) in LISTS]
    if inner and not isinstance(value, list | tuple | set | frozenset):
        if value is None or str in options:  # a name or a list of names: both may be written
            return value if value is None else as_meant(str, value)
        value = [value] if value != "" else []
    if inner and isinstance(value, list | tuple):
        return [as_meant(_item(inner[0]), one) for one in value]
    is_name = str in options and not any(number in options for number in NUMBERS)
    return str(value) if is_name and type(value) is int else value


def takes_names(annotation: Any) -> bool:
    """Whether what is typed for a setting of this type is text, or a list of texts."""
    from pydantic import BaseModel

    options = members(annotation)
    if any(number in options for number in NUMBERS):
        return False
    inner = [_item(option) for option in options if get_origin(option) in LISTS]
    named = any(isinstance(option, type) and issubclass(option, BaseModel) for option in map(_plain, inner))
    return str in options or named or any(takes_names(option) for option in inner)


def takes_lists(annotation: Any) -> bool:
    """Whether a setting of this type holds several values."""
    return any(get_origin(option) in LISTS for option in members(annotation))


def members(annotation: Any) -> list[Any]:
    """The types that a value may have, without None."""
    annotation = _plain(annotation)
    if get_origin(annotation) in (Union, types.UnionType):
        return [member for option in get_args(annotation) for member in members(option)]
    return [] if annotation in (None, types.NoneType) else [annotation]


def _plain(annotation: Any) -> Any:
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def _item(annotation: Any) -> Any:
    """The type of what is in a list."""
    inside = get_args(annotation)
    return inside[0] if inside else typing.Any


def written(value: Any) -> str:
    """A value as it is written on a command line; text in quotes."""
    if isinstance(value, bool) or value is None:
        return {None: "null", True: "true", False: "false"}[value]
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(written, value)) + "]"
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {written(one)}" for key, one in value.items()) + "}"
    return repr(value)


def bad_value(place: str, value: Any, kind: str, said: str, one: bool) -> BenchError:
    """The error for a value that is not what is meant.

    Args:
        place: the setting, as on the command line.
        value: what it was given.
        kind: pydantic's name of the error.
        said: pydantic's message.
        one: whether one value is meant, and no list.
    """
    said = said.removeprefix("Value error, ")
    fix = f"{said[:1].upper()}{said[1:]}."
    if isinstance(value, list | tuple) and value and one:
        fix += f" {each_in_turn(place, value)}"
    if kind == "string_type" and value is not None:
        fix += " As text, write it in quotes."
    if value is None and kind in ("tuple_type", "list_type"):
        fix = f"Write {place}=[] for none."
    return BenchError(f"Bad setting {place}={written(value)}.", fix)


def each_in_turn(place: str, values: collections.abc.Sequence[Any]) -> str:
    """How to run several values where one is meant."""
    plain = [str(value) if isinstance(value, str | int | float) else written(value) for value in values]
    listed = IN_A_SUITE.get(place)
    in_one_run = f", or in one run {listed}=[{','.join(plain)}]" if listed else ""
    return f"For each in a run of its own: -m {place}={','.join(plain)}{in_one_run}."
