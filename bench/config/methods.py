"""Methods of plug-ins in Hydra's configuration: each gets a place there, made from its fields; types of settings."""

from __future__ import annotations

import dataclasses
import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override, QuotedString, ValueType
from omegaconf import DictConfig, OmegaConf

from bench.core.errors import unknown_name
from bench.core.plugins import import_plugins
from bench.core.registry import field_types

REGISTRIES = {
    "defense": "defenses:DEFENSES",
    "attack": "attacks:ATTACKS",
    "countermeasure": "countermeasures:COUNTERMEASURES",
    "data": "bench.data:SOURCES",
    "logger": "bench.loggers:LOGGERS",
}
"""Groups whose options plug-ins can add to, and where their registries are; imported only if needed."""


def register(overrides: Sequence[Override], options: Callable[[str], list[str]], primary: Mapping[str, Any]) -> None:
    """Import `plugins=`, and give every method of a plug-in that may be chosen its configuration, from its fields.

    Args:
        overrides: what was set on the command line.
        options: group -> names that have files.
        primary: the primary file of the configuration, which may name plug-ins, too.

    Raises:
        BenchError: a plug-in that does not import, or a method that is nowhere.
    """
    given = [_chosen(override) for override in overrides if override.key_or_group == "plugins"]
    written = primary.get("plugins") or []
    import_plugins(given[-1] if given else [written] if isinstance(written, str) else written)
    for group, place in REGISTRIES.items():
        if place.partition(":")[0] in sys.modules:
            for name in registry_of(group).registered():
                if name not in options(group):
                    _store(group, name)
    for override in overrides:
        group = override.key_or_group
        if group in REGISTRIES and not override.is_delete():
            for name in _chosen(override):
                if name not in options(group):
                    if name not in registry_of(group).names():
                        raise unknown_name(group, name, {*options(group), *registry_of(group).names()})
                    _store(group, name)


def is_of_method(key: str) -> bool:
    """Whether a setting is one of a method, whose class says its type."""
    return key.partition(".")[0] in REGISTRIES


def annotation(key: str, config: DictConfig) -> Any:
    """The type of a method's setting, from its class, which is imported; None if there is none.

    Args:
        key: such as `attack.rank`.
        config: a composed configuration, which says what was chosen.
    """
    group, *inside = key.split(".")
    registry = registry_of(group)
    name = inside.pop(0) if registry.several and inside else OmegaConf.select(config, f"{group}.name")
    if len(inside) != 1 or name not in registry.names():
        return None
    return str if inside == ["name"] else field_types(registry.get(name)).get(inside[0])


def registry_of(group: str) -> Any:
    """The registry of a group."""
    module, _, name = REGISTRIES[group].partition(":")
    return getattr(importlib.import_module(module), name)


def _store(group: str, name: str) -> None:
    registry = registry_of(group)
    settings = _defaults(registry.get(name))
    node = settings if registry.several else {"name": name, **settings}
    ConfigStore.instance().store(name=name, node=node, group=group, package=registry.place(name))


def _chosen(override: Override) -> list[str]:
    """The names that an override gives, those of a sweep and of a list included."""
    swept = override.value_type in (ValueType.SIMPLE_CHOICE_SWEEP, ValueType.CHOICE_SWEEP)
    values: list[Any] = list(override.sweep_iterator()) if swept else [override.value()]
    flat = [name for value in values for name in (value if isinstance(value, list) else [value])]
    texts = [name.text if isinstance(name, QuotedString) else name for name in flat]
    return [text for text in texts if isinstance(text, str) and text]


def _defaults(cls: Any) -> dict[str, Any]:
    """A plug-in's fields with their defaults."""
    config: dict[str, Any] = {}
    for field in dataclasses.fields(cls):
        if field.init and field.default is not dataclasses.MISSING:
            config[field.name] = list(field.default) if isinstance(field.default, tuple) else field.default
        elif field.init and field.default_factory is not dataclasses.MISSING:
            config[field.name] = field.default_factory()
        elif field.init:
            config[field.name] = "???"
    return config
