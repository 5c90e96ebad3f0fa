"""Before Hydra runs: load plug-ins, give their methods a place in the configuration, and explain mistakes.

The command line is composed once beforehand, by Hydra itself and with its options, so that what Hydra takes is taken.
What it does not take is told in the project's words, that of any job of a sweep before its first.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from contextlib import suppress
from functools import cached_property
from typing import Any

from hydra.core.override_parser.types import Override, ValueType
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf

from bench.config import methods
from bench.config.commandline import CommandLine, split
from bench.config.composer import ONE, Composer, composer_of
from bench.config.parsing import annotation_at, no_choice
from bench.config.quoting import as_names, quoted, read, rejected, shell_word
from bench.config.schema import RunSettings
from bench.core.errors import BenchError
from bench.core.meaning import each_in_turn, takes_lists, takes_names


def prepare(arguments: Sequence[str]) -> tuple[list[str], bool]:
    """Check a command line and register the plug-ins it uses.

    Returns:
        The same for Hydra, with names written as names; and whether it is a sweep.

    Raises:
        BenchError: what is wrong with an option, a setting or a value, or a plug-in does not import.
    """
    line = split(arguments)
    if line.passed_on:
        return line.arguments, False
    with composer_of(line) as composer:
        overrides = Overrides(line, composer)
        sweep = overrides.check()
        return line.with_overrides(overrides.texts).arguments, sweep


def settings_of(arguments: Sequence[str]) -> RunSettings:
    """The settings that a command line without a sweep stands for.

    Raises:
        BenchError: as `prepare`, or it is a sweep.
    """
    line = split(arguments)
    with composer_of(line) as composer:
        overrides = Overrides(line, composer)
        if overrides.check():
            raise BenchError("Several runs are not possible here.", "Leave out -m.")
        return composer.settings(composer.compose(overrides.texts))


class Overrides:
    """The overrides of a command line, read and understood.

    Attributes:
        parsed: what Hydra makes of them, with names as text.
    """

    def __init__(self, line: CommandLine, composer: Composer) -> None:
        self._line = line
        self._composer = composer
        parsed = [read(word) for word in line.overrides]
        methods.register([override for override in parsed if override], composer.options, composer.primary())
        composer.forget()  # the registered ones are options now
        for index, override in enumerate(parsed):
            if override is None:
                key = line.overrides[index].partition("=")[0].lstrip("+~")
                raise rejected(line.overrides, index, bool(line.options.multirun), self._is_text(key))
        self.parsed = [self._as_meant(override) for override in parsed if override]

    @property
    def texts(self) -> list[str]:
        """The same as they are written."""
        return [str(override.input_line) for override in self.parsed]

    def check(self) -> bool:
        """Whether they are a sweep.

        Raises:
            BenchError: they cannot be composed, a value is missing, or one of those of a sweep is not possible.
        """
        first = [self._composer.values(override)[0] for override in self.parsed]
        config = self._composer.compose(first)
        sweep = bool(self._line.options.multirun) or config.hydra.mode == RunMode.MULTIRUN
        swept = [index for index, override in enumerate(self.parsed) if override.is_sweep_override()]
        if swept and not sweep:
            raise self._several(self.parsed[swept[0]])
        if self._line.runs:
            self._composer.settings(config)
            for index in swept:
                self._check_sweep(config, first, index)
        return sweep

    @cached_property
    def _chosen(self) -> DictConfig:
        return self._composer.chosen(self._line.overrides)

    def _as_meant(self, override: Override) -> Override:
        """The same with names written as names."""
        key, word = override.key_or_group, str(override.input_line)
        if override.is_delete() or override.value_type not in (ValueType.ELEMENT, ValueType.SIMPLE_CHOICE_SWEEP):
            return override
        start, _, value = word.partition("=")
        group = bool(self._composer.options(key))
        if group:
            self._check_choice(override)
        elif not value and key in OmegaConf.missing_keys(self._chosen):
            raise BenchError(f"{key} has no value.", f"Give it on the command line: {key}=...")
        meant = as_names(value, numbers=group)
        if meant == value or not (group or takes_names(self._type(key))):
            return override
        return read(f"{start}={meant}") or override

    def _check_choice(self, override: Override) -> None:
        """Raises BenchError if a group is given nothing, several options where one is meant, or settings."""
        group = override.key_or_group
        several = override.value_type is ValueType.SIMPLE_CHOICE_SWEEP
        for value in list(override.sweep_iterator()) if several else [override.value()]:
            if value is None or value in ("", []):
                raise no_choice(group, self._composer.options(group))
            if isinstance(value, dict) and "name" in value:
                more = "".join(f" {group}.{key}={one}" for key, one in value.items() if key != "name")
                raise BenchError(f"{group} takes a name.", f"Write: {group}={value['name']}{more}")
            if isinstance(value, list) and len(value) > 1 and group in ONE:
                one = f"{override.input_line}: one is meant, and only the last would run."
                raise BenchError(one, each_in_turn(group, value))

    def _type(self, key: str) -> Any:
        """The type of a setting; None if it is not known."""
        default = OmegaConf.select(self._chosen, key, throw_on_missing=False)
        if isinstance(default, bool | int | float):  # without importing a method for it
            return type(default)
        return methods.annotation(key, self._chosen) if methods.is_of_method(key) else annotation_at(key.split("."))

    def _is_text(self, key: str) -> bool:
        """Whether a setting takes text, and no list."""
        with suppress(Exception):  # it only makes a message better
            annotation = self._type(key)
            return takes_names(annotation) and not takes_lists(annotation)
        return False

    def _several(self, override: Override) -> BenchError:
        """The error for a sweep without -m."""
        key, word = override.get_key_element(), str(override.input_line)
        value = word.partition("=")[2]
        if override.value_type is not ValueType.SIMPLE_CHOICE_SWEEP:
            return BenchError(f"{word} has several values.", f"For each in a run of its own: -m {shell_word(word)}.")
        fix = each_in_turn(key, value.split(","))
        if self._is_text(key) and not self._composer.options(key):
            fix += f" As text: {shell_word(f'{key}={quoted(value)}')}"
        with suppress(BenchError):
            if takes_lists(self._type(key)):
                fix += f" As a list: {shell_word(f'{key}=[{value}]')}"
        return BenchError(f"{word} has several values.", fix)

    def _check_sweep(self, config: DictConfig, texts: list[str], index: int) -> None:
        """Raises BenchError if a value of a sweep is not possible beside the first values of the others."""
        override = self.parsed[index]
        key = override.key_or_group
        if override.is_hydra_override():
            raise BenchError(f"{override.input_line} has several values.", "Hydra's own settings have one in a sweep.")
        if override.value_type is ValueType.INTERVAL_SWEEP and "BasicSweeper" in config.hydra.sweeper._target_:
            message = f"{override.input_line}: without another sweeper, values are a list or a range."
            raise BenchError(message, f"As in {key}=1,2,3 or {key}=range(1,4).")
        for word in self._composer.values(override)[1:]:
            try:
                if self._composer.options(key):
                    changed = self._composer.compose([*texts[:index], word, *texts[index + 1 :]])
                else:
                    changed, one = copy.deepcopy(config), read(word)
                    OmegaConf.update(changed, key, one and one.value(), merge=True, force_add=True)
                self._composer.settings(changed)
            except BenchError as error:
                raise BenchError(error.message, f"{error.fix} This is the job with {word}.") from None
