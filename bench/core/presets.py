"""Named sets of settings: published recipes that a user picks by name and can still override one by one."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, TypeVar

from bench.core.errors import BenchError, unknown_name

M = TypeVar("M")


def fill(method: M, presets: Mapping[str, Mapping[str, Any]], automatic: str) -> M:
    """Fill the settings that are still None from the preset that the method's `preset` field names.

    Args:
        method: a dataclass with a `preset` field.
        presets: name -> settings.
        automatic: the preset that "auto" stands for.

    Raises:
        BenchError: no such preset, or its settings do not go with those of the method.
    """
    name: str = method.preset  # type: ignore[attr-defined]
    name = automatic if name == "auto" else name
    if name not in presets:
        raise unknown_name("preset", name, ["auto", *presets])
    open_fields = {key: value for key, value in presets[name].items() if getattr(method, key) is None}
    try:
        filled: M = dataclasses.replace(method, preset=name, **open_fields)  # type: ignore[type-var]
    except ValueError as error:  # settings that do not go together
        raise BenchError(f"With the preset {name!r}, {error}.", "Set these, or take another preset.") from None
    return filled
