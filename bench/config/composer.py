"""Hydra's composition of overrides `key=value`, with the search path of one command line and our errors."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import Any

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_automatic_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.types import Override, Transformer, ValueType
from hydra.core.utils import validate_config_path
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError  # type: ignore[import-untyped]

from bench.config.commandline import CommandLine
from bench.config.explain import explained
from bench.config.parsing import parse
from bench.config.quoting import read
from bench.config.schema import RunSettings
from bench.core.errors import BenchError
from bench.core.meaning import each_in_turn

ONE = ("defense", "attack", "data", "model", "suite", "metric", "logger", "hydra/launcher", "hydra/sweeper")
"""Groups of which one option is chosen."""


@contextmanager
def composer_of(line: CommandLine) -> Iterator[Composer]:
    """What composes the overrides of a command line, with the search path that Hydra will have.

    Raises:
        BenchError: a folder of configurations is not there.
    """
    options = line.options
    version.setbase("1.3")
    try:
        validate_config_path(options.config_path)
        main = str(files("bench").joinpath("__main__.py"))
        path = create_automatic_config_search_path(main, None, options.config_path or "pkg://conf")
    except ValueError as error:
        raise BenchError(
            f"--config-path={options.config_path}: {error}", "Give a folder with configurations."
        ) from None
    if options.config_dir is not None:
        folder = Path(options.config_dir).resolve()
        if not folder.is_dir():
            raise BenchError(f"--config-dir={options.config_dir}: there is no such folder.", f"Looked for {folder}.")
        path.prepend(provider="command-line", path=f"file://{folder}", anchor=SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    before = HydraConfig.instance().cfg
    try:
        yield Composer(Hydra.create_main_hydra2("cloakbench", path), line)
    finally:
        HydraConfig.instance().cfg = before
        GlobalHydra.instance().clear()


class Composer:
    """Composes overrides as Hydra will. `hydra.searchpath=` of the command line holds for all of them."""

    def __init__(self, hydra: Hydra, line: CommandLine) -> None:
        self.name: str = line.options.config_name or "config"
        self._hydra = hydra
        self._loader: Any = hydra.config_loader
        self._paths = [word for word in line.overrides if word.startswith("hydra.searchpath=")]
        self._options: dict[str, list[str]] = {}

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The whole configuration, Hydra's own settings included.

        Raises:
            BenchError: the nearest to what Hydra says.
        """
        try:
            config = self._composed(overrides)
            self._check_chosen_once(config, overrides)
            return config
        except (HydraException, OmegaConfBaseException, YAMLError, ValueError) as error:
            raise explained(error, overrides, self._loader, self.chosen(overrides)) from None

    def settings(self, config: DictConfig) -> RunSettings:
        """The settings of a composed configuration.

        Raises:
            BenchError: a value is missing, or of the wrong type.
        """
        OmegaConf.set_readonly(config.hydra, False)
        config.hydra.job.num, config.hydra.job.id = 0, "0"  # a job's own names may be part of a value
        HydraConfig.instance().set_config(config)
        job = OmegaConf.masked_copy(config, [str(key) for key in config if key != "hydra"])
        try:
            missing = sorted(OmegaConf.missing_keys(job))
            if missing:
                raise BenchError(f"{missing[0]} has no value.", f"Give it on the command line: {missing[0]}=...")
            plain: Any = OmegaConf.to_container(job, resolve=True)
        except OmegaConfBaseException as error:
            raise explained(error, config.hydra.overrides.task, self._loader, job) from None
        return parse(plain)

    def options(self, group: str) -> list[str]:
        """The options of a group, those of a user's own folders and of plug-ins included; none: it is no group."""
        if group not in self._options:
            with suppress(HydraException, OSError):
                names = self._loader.get_group_options(group, config_name=self.name, overrides=self._paths)
                self._options[group] = names
        return self._options.get(group, [])

    def forget(self) -> None:
        """Look for options anew: others have been registered."""
        self._options.clear()

    def primary(self) -> Any:
        """The file that `--config-name` names, by itself."""
        with suppress(HydraException, OmegaConfBaseException, YAMLError, OSError):
            loaded = self._loader.repository.load_config(self.name)
            return loaded.config if loaded else {}
        return {}

    def chosen(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration with the chosen options and nothing else set; the defaults if that cannot be composed."""
        readable = [override for word in overrides if (override := read(word))]
        groups = [o for o in readable if self.options(o.key_or_group) or o.key_or_group == "hydra.searchpath"]
        for chosen in (groups, []):
            with suppress(Exception):
                return self._composed([self.values(override)[0] for override in chosen])
        return OmegaConf.create()

    def values(self, override: Override) -> list[str]:
        """The word itself, or one for each value of a sweep.

        Raises:
            BenchError: the sweep has no values.
        """
        if not override.is_sweep_override():
            return [str(override.input_line)]
        key = override.get_key_element()
        if override.value_type is ValueType.INTERVAL_SWEEP:
            return [f"{key}={override.value().start}"]  # type: ignore[union-attr]
        override.config_loader = self._loader
        try:
            texts = [f"{key}={value}" for value in override.sweep_iterator(Transformer.str)]
        except (HydraException, ValueError) as error:
            raise BenchError(f"{override.input_line}: {error}", "As in seed=range(0,5).") from None
        if not texts:
            allowed = ", ".join(self.options(override.key_or_group))
            raise BenchError(f"{override.input_line} has no values.", f"Allowed: {allowed}." if allowed else "")
        return texts

    def _composed(self, overrides: Sequence[str]) -> DictConfig:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # they come again when Hydra runs
            return self._hydra.compose_config(self.name, list(overrides), RunMode.RUN)

    def _check_chosen_once(self, config: DictConfig, overrides: Sequence[str]) -> None:
        """Raises BenchError if a file lists several options of which one is meant: only the last would run."""
        without = [group for group in ONE if group not in config.hydra.runtime.choices]
        if not without:
            return
        defaults = self._loader.compute_defaults_list(self.name, list(overrides), RunMode.RUN).defaults
        for group in without:
            beside = [d for d in defaults if not str(d.parent).startswith(f"{group}/")]  # an option may extend another
            places = [str(d.config_path).rpartition("/") for d in beside]
            names = [option for folder, _, option in places if folder == group]
            if len(names) > 1:
                listed = f"{self.name} lists several options of {group}: {', '.join(names)}."
                raise BenchError(listed, each_in_turn(group, names))
