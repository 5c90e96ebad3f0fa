"""A method as it runs, and as records name it."""

from __future__ import annotations

import dataclasses
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

T = TypeVar("T")
T_co = TypeVar("T_co", covariant=True)


@dataclass(frozen=True)
class ResolvedMethod(Generic[T_co]):
    """A plug-in by name, with all of its settings, presets resolved, and the object that they make.

    Attributes:
        name: the one that it is registered under.
        settings: every setting, as plain values.
        instance: what runs. Two methods of equal names and settings are equal.
    """

    name: str
    settings: Mapping[str, Any]
    instance: T_co = dataclasses.field(compare=False)

    @classmethod
    def of(cls, name: str, instance: T) -> ResolvedMethod[T]:
        """A method with the settings of an instance, which is a dataclass; tuples become lists."""
        fields = dataclasses.fields(instance)  # type: ignore[arg-type]
        values = {field.name: getattr(instance, field.name) for field in fields if field.init}
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in values.items()}
        return ResolvedMethod(name, plain, instance)

    def facts(self, files: Collection[str] = ()) -> dict[str, Any]:
        """Name and settings for keys, without the settings that name `files`: their content is hashed instead."""
        config = {name: value for name, value in self.settings.items() if name not in files}
        return {"name": self.name, "config": config}
