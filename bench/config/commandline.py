"""What was typed after `python -m bench`: Hydra's options, and overrides `key=value`."""

from __future__ import annotations

from argparse import ArgumentParser, Namespace
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from hydra._internal.utils import get_args_parser

import bench
from bench.config.quoting import shell_word
from bench.core.errors import BenchError


@dataclass(frozen=True)
class CommandLine:
    """A command line, taken apart.

    Attributes:
        options: Hydra's, as it parses them itself.
        flags: the same as they were typed.
        overrides: the others: `key=value`, and what is not.
    """

    options: Namespace
    flags: tuple[str, ...]
    overrides: tuple[str, ...]

    @property
    def arguments(self) -> list[str]:
        """The same for Hydra, which wants its options in one place."""
        return [*self.overrides, *self.flags]

    @property
    def runs(self) -> bool:
        """Whether Hydra is to run something, and not to show something."""
        options = self.options
        return not (options.help or options.hydra_help or options.cfg or options.info is not None)

    @property
    def passed_on(self) -> bool:
        """Whether the overrides are not settings: completion has words of its own, and a rerun has a file."""
        return bool(self.options.shell_completion or self.options.experimental_rerun)

    def with_overrides(self, overrides: Sequence[str]) -> CommandLine:
        """The same options with other overrides."""
        return replace(self, overrides=tuple(overrides))


def split(arguments: Sequence[str]) -> CommandLine:
    """Take a command line apart; with `--version`, print the version and exit.

    Raises:
        BenchError: an option that does not exist, or options that exclude each other.
    """
    options, unknown = _parser().parse_known_intermixed_args(list(arguments))
    if unknown:
        name, equals, value = unknown[0].lstrip("-").partition("=")
        typed = f" Did you mean {shell_word(f'{name}={value}')}?" if equals else ""
        raise BenchError(f"There is no option {unknown[0]}.", f"Settings are key=value, without dashes.{typed}")
    asked = [
        f"--{name.replace('_', '-')}"
        for name in ("run", "multirun", "cfg", "info", "shell_completion")
        if getattr(options, name) not in (None, False)
    ]
    if len(asked) > 1:
        raise BenchError(f"{' and '.join(asked)} exclude each other.", "Give one of them.")
    if options.resolve and not (options.cfg or options.help):
        raise BenchError("--resolve says how --cfg and --help print.", "Give it with one of them.")
    flags = list(arguments)
    for word in options.overrides:
        flags.remove(word)
    overrides = tuple(_path_listed(word) for word in options.overrides)
    path = options.config_path
    if path and Path(path).is_dir():  # where the user stands; Hydra's begins at bench/
        options.config_path = str(Path(path).resolve())
        flags.append(f"--config-path={options.config_path}")
    return CommandLine(options, tuple(flags), overrides)


def _path_listed(word: str) -> str:
    """A search path of one folder as the list that Hydra wants."""
    key, _, value = word.partition("=")
    return f"{key}=[{value}]" if key == "hydra.searchpath" and value and value[0] not in "['\"" else word


def _parser() -> ArgumentParser:
    """Hydra's own, with our version."""
    parser: ArgumentParser = get_args_parser()
    parser.prog = "python -m bench"
    for action in parser._actions:
        if "--version" in action.option_strings:
            action.version = f"cloakbench {bench.__version__}"  # type: ignore[attr-defined]
    return parser
