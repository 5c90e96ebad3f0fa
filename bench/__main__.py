"""`python -m bench`: the Hydra entry. Everything heavy is imported after the command line has been understood."""

from __future__ import annotations

import sys

import hydra
from omegaconf import DictConfig, OmegaConf

from bench.cli import complain
from bench.compose import prepare
from bench.errors import BenchError

_statuses: list[int] = []


@hydra.main(config_path="pkg://conf", config_name="config", version_base="1.3")
def task(config: DictConfig) -> None:
    """One job: a run. In a sweep, a job that fails does not stop the others."""
    from hydra.core.hydra_config import HydraConfig
    from rich.console import Console

    from bench.run import run
    from bench.settings import parse

    try:
        plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
        words = list(HydraConfig.get().overrides.task)
        _statuses.append(run(parse(plain), Console(), words))  # type: ignore[arg-type]
    except BenchError as error:
        complain(error)
        _statuses.append(1)


def main() -> int:
    """Check the command line, hand over to Hydra, and report the worst status of all jobs."""
    try:
        prepare(sys.argv[1:])
    except BenchError as error:
        complain(error)
        return 1
    try:
        task()
    except KeyboardInterrupt:
        complain(BenchError("Interrupted.", "Finished work is kept: the same command goes on from here."))
        return 130
    return max(_statuses, default=0)


if __name__ == "__main__":
    sys.exit(main())
