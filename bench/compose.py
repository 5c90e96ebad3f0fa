"""Before Hydra runs: load plug-ins, give their methods a place in the configuration, and explain mistakes.

Hydra's own message for an unknown key advises `+key=value`, which would be wrong here. So the command line is composed
once beforehand, and its errors are told in the project's words.
"""

from __future__ import annotations

import dataclasses
import importlib
import re
from collections.abc import Sequence
from typing import Any

from hydra import compose, initialize_config_module
from hydra._internal.utils import get_args_parser
from hydra.core.config_store import ConfigStore
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, OmegaConfBaseException

from bench.errors import BenchError, unknown_name
from bench.settings import RunSettings, parse

REGISTRIES = {
    "defense": "defenses:DEFENSES",
    "attack": "attacks:ATTACKS",
    "countermeasure": "countermeasures:COUNTERMEASURES",
    "data": "bench.data:SOURCES",
    "logger": "bench.loggers:LOGGERS",
}
"""Groups whose options plug-ins can add to, and where their registries are; imported only if needed."""

PASSED_ON = ("--help", "-h", "--hydra-help", "--version", "--shell-completion", "-sc")
"""Flags with which Hydra runs nothing."""


def prepare(arguments: Sequence[str]) -> None:
    """Check a command line and register the plug-ins it uses.

    Raises:
        BenchError: an unknown group option, an unknown key, a missing value or a plug-in that does not import.
    """
    if any(word in PASSED_ON for word in arguments):
        return
    parsed, rest = get_args_parser().parse_known_args(list(arguments))
    words = [*parsed.overrides, *(word for word in rest if not word.startswith("-"))]
    try:
        overrides = OverridesParser.create().parse_overrides(words)
    except HydraException as error:
        raise BenchError(str(error).splitlines()[0], "Settings are key=value; quote values with spaces.") from None
    _register_plugins(overrides)
    composed = _compose([_first(override) for override in overrides])
    try:
        missing = sorted(OmegaConf.missing_keys(composed))
        OmegaConf.to_container(composed, resolve=True)
    except InterpolationKeyError as error:  # a placeholder as shells write it, say
        what = str(error).partition("\n")[0]
        raise BenchError(
            f"{error.full_key}: {what}.", "A placeholder of prompts has no dollar sign: {subject}."
        ) from None
    if missing:
        raise BenchError(f"{missing[0]} has no value.", f"Give it on the command line: {missing[0]}=...")


def settings_of(arguments: Sequence[str]) -> RunSettings:
    """The settings that a command line without a sweep stands for.

    Raises:
        BenchError: as `prepare`, or a value of the wrong type.
    """
    prepare(arguments)
    plain: Any = OmegaConf.to_container(_compose(list(arguments)), resolve=True)
    return parse(plain)


def _compose(words: list[str]) -> DictConfig:
    try:
        with initialize_config_module("conf", version_base="1.3"):
            return compose("config", words)
    except (HydraException, OmegaConfBaseException) as error:
        raise _explained(error, words) from None
    finally:
        GlobalHydra.instance().clear()


def _explained(error: Exception, words: list[str]) -> BenchError:
    """The nearest project error for one of Hydra's."""
    text = f"{error}\n{error.__cause__}"
    bad_option = re.search(r"Could not find '([\w/-]+)/([^']+)'", text)
    if bad_option and bad_option[1] in _options():
        return unknown_name(bad_option[1], bad_option[2], _options()[bad_option[1]])
    bad_key = re.search(r"full_key: ([\w.-]+)", text) or re.search(r"Could not override '([\w./-]+)'", text)
    if bad_key:
        full = bad_key[1]
        named = [word for word in words if word.partition("=")[0].endswith(full)]
        key = named[0].partition("=")[0] if named else full
        return unknown_name("setting", key, _known_keys(key, words))
    return BenchError(str(error).partition("\n")[0], "See python -m bench --help.")


def _known_keys(key: str, words: list[str]) -> list[str]:
    """All keys beside an unknown one, and the groups at the top."""
    parent, _, _ = key.rpartition(".")
    try:
        with initialize_config_module("conf", version_base="1.3"):
            config: Any = compose("config", [w for w in words if w.partition("=")[0] in _options()])
    finally:
        GlobalHydra.instance().clear()
    node = OmegaConf.select(config, parent) if parent else config
    names = list(node) if isinstance(node, DictConfig) else list(config)
    return [f"{parent}.{name}" if parent and isinstance(node, DictConfig) else str(name) for name in names]


def _options() -> dict[str, list[str]]:
    """Group -> option names, of the files under conf/ and of registered plug-ins."""
    from importlib.resources import files

    found = {
        folder.name: [f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml")]
        for folder in files("conf").iterdir()
        if folder.is_dir() and folder.name not in ("hydra", "__pycache__")
    }
    repo = ConfigStore.instance().repo
    for group in found:
        found[group] += [name.removesuffix(".yaml") for name in repo.get(group, {})]
    return found


def _register_plugins(overrides: list[Override]) -> None:
    """Import `plugins=[...]`, and give every method chosen from a plug-in its configuration, from its fields."""
    chosen: dict[str, list[str]] = {}
    for override in overrides:
        if override.key_or_group == "plugins":
            value = override.value()
            from bench.plugins import import_plugins

            import_plugins(map(str, value if isinstance(value, list) else [value]))
        elif override.key_or_group in REGISTRIES:
            chosen[override.key_or_group] = [name for line in _choices(override) for name in _names(line)]
    shipped = _options()
    for group, names in chosen.items():
        unknown = [name for name in names if name not in shipped[group]]
        for name in unknown:
            registry = _registry(group)
            if name not in registry.names():
                raise unknown_name(group, name, {*shipped[group], *registry.names()})
            settings = _defaults(registry.get(name))
            node = settings if registry.several else {"name": name, **settings}
            ConfigStore.instance().store(name=name, node=node, group=group, package=registry.place(name))


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


def _registry(group: str) -> Any:
    module, _, name = REGISTRIES[group].partition(":")
    return getattr(importlib.import_module(module), name)


def _choices(override: Override) -> list[str]:
    """The options that an override names: one, or several in a sweep."""
    if override.is_sweep_override():
        return [str(value) for value in override.sweep_string_iterator()]
    return [str(override.value())]


def _names(choice: str) -> list[str]:
    """The names in a choice: one, or those of a list."""
    return [name.strip(" '\"") for name in choice.strip("[]").split(",")]


def _first(override: Override) -> str:
    """The override with the first value of a sweep: enough to check its key."""
    line = str(override.input_line)
    return f"{line.partition('=')[0]}={_choices(override)[0]}" if override.is_sweep_override() else line
