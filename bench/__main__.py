"""`python -m bench`: the Hydra entry. Everything heavy is imported after the command line has been understood."""

from __future__ import annotations

import sys

from bench.core.greeting import greet

greet(sys.argv)  # before what follows, which takes a second or more to import

import contextlib
import os
import runpy
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig, OmegaConf

from bench.config.compose import prepare
from bench.core.cli import complain, guarded
from bench.core.errors import BenchError, system_errors, writing
from bench.core.imports import HOME
from bench.core.plugins import told
from bench.runner.sweep_status import End, ends, gathered, noted, sweeps_folder


@hydra.main(config_path="pkg://conf", config_name="config", version_base="1.3")
def task(config: DictConfig) -> None:
    """One job: a run. In a sweep, a job that fails does not stop the others."""
    from hydra.core.hydra_config import HydraConfig
    from hydra.types import RunMode

    from bench.config.parsing import parse
    from bench.core.plugins import import_plugins
    from bench.core.terminal import terminal
    from bench.runner.run import run

    overrides = [*_where(HydraConfig.get()), *HydraConfig.get().overrides.task]
    with contextlib.suppress(FileNotFoundError):  # on another machine
        os.chdir(HydraConfig.get().runtime.cwd)  # where the user stands, whatever hydra.job.chdir or a launcher did
    sweep = HydraConfig.get().mode == RunMode.MULTIRUN
    with noted(overrides) as end:
        try:
            plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
            settings = parse(plain)  # type: ignore[arg-type]
            import_plugins(settings.plugins)  # by now in this process; a launcher's worker has not seen them yet
            with system_errors(), writing():
                end.status = run(settings, terminal(), overrides, end if sweep else None)
        except BenchError as error:
            end.reason = error.message
            complain(error)
        except SystemExit as error:  # of a method, a data set or a logger of somebody's own
            end.reason = f"Something in this run leaves the program: {told(error)}."
            complain(BenchError(end.reason, "Raise an error there instead."))


def _where(hydra: Any) -> list[str]:
    """What a command needs to find a user's own configurations again."""
    options = {"command-line": "--config-dir", "main": "--config-path"}
    sources = [
        source for source in hydra.runtime.config_sources if source.provider in options and source.path != "conf"
    ]
    folders = [f"{options[source.provider]}={source.path}" for source in sources]
    name = hydra.job.config_name
    named = [f"--config-name={name}"] if name not in (None, "config") else []
    return folders + named + [word for word in hydra.overrides.hydra if word.startswith("hydra.searchpath=")]


def _foretell(arguments: Sequence[str]) -> None:
    """Say which jobs of a sweep cannot run, before the others do."""
    from bench.core.terminal import terminal
    from bench.runner.sweep import lacking

    for value, error in lacking(arguments):
        text = f"Warning: {value} cannot run: {' '.join(str(error).split())}"
        terminal(stderr=True).print(text, style="yellow", highlight=False, soft_wrap=True)


def _jobs(arguments: Sequence[str]) -> int | None:
    from bench.runner.sweep import jobs

    return jobs(arguments)


def _show_sweep(ended: Sequence[End]) -> None:
    """One table of all jobs."""
    from bench.core.terminal import terminal
    from bench.report.ending import show_sweep

    outs = [_short(Path(end.out)) for end in ended if end.out]
    show_sweep(outs, dict.fromkeys(line for end in ended for line in end.warnings), terminal())


def _short(path: Path) -> Path:
    """A path as seen from where the user stands, if it is below."""
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path


COMMANDS = (
    "cloak",
    "check",
    "distribution",
    "export",
    "fetch",
    "list",
    "paper",
    "power",
    "report",
    "stats",
    "status",
    "store",
    "train_remover",
)
"""`cloakbench list` is `python -m bench.list`."""


def main() -> int:
    """A run or a sweep; or, with the name of another command first, that one."""
    if sys.argv[1:2] and sys.argv[1] in COMMANDS:
        name = sys.argv.pop(1)
        runpy.run_module(f"bench.{name}", run_name="__main__", alter_sys=True)  # ends by sys.exit
    return guarded(_main, sys.argv[1:])


def _main(arguments: Sequence[str]) -> int:
    """Check the command line, hand over to Hydra, and report the worst status of all jobs."""
    sys.argv[1:], sweep = prepare(arguments)
    if sweep:
        _foretell(arguments)
    shared = sweeps_folder() if sweep else None
    if shared:
        os.environ["CLOAKBENCH_SWEEPS"] = str(shared)  # Hydra reads it, too
        if Path.cwd() != Path(HOME):  # a launcher's processes do not look first where the user stands either
            os.environ["PYTHONSAFEPATH"] = "1"
    with gathered(shared, _jobs(arguments) if sweep else None) as folder:
        task()
        ended = ends(folder)
    if sweep:
        _show_sweep(ended)
    bad = [end for end in ended if end.status]
    if sweep and bad:
        listed = "\n".join(f"  {end.overrides}" + (f": {end.reason}" if end.reason else "") for end in bad)
        complain(BenchError(f"{len(bad)} of {len(ended)} jobs failed or have cells that are not ok:", listed))
    return max((end.status for end in ended), default=0)


if __name__ == "__main__":
    sys.exit(main())
