"""`python -m bench`: the Hydra entry. Everything heavy is imported after the command line has been understood."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import hydra
from omegaconf import DictConfig, OmegaConf

from bench.cli import complain
from bench.compose import prepare
from bench.errors import BenchError, writing
from bench.statuses import ends, gathered, noted


@hydra.main(config_path="pkg://conf", config_name="config", version_base="1.3")
def task(config: DictConfig) -> None:
    """One job: a run. In a sweep, a job that fails does not stop the others."""
    from hydra.core.hydra_config import HydraConfig
    from rich.console import Console

    from bench.plugins import import_plugins
    from bench.run import run
    from bench.settings import parse

    words = list(HydraConfig.get().overrides.task)
    with noted(words) as end:
        try:
            plain = OmegaConf.to_container(config, resolve=True, throw_on_missing=True)
            settings = parse(plain)  # type: ignore[arg-type]
            import_plugins(settings.plugins)  # by now in this process; a launcher's worker has not seen them yet
            with writing():
                end.status = run(settings, Console(), words)
        except BenchError as error:
            end.reason = error.message
            complain(error)


def main() -> int:
    """Check the command line, hand over to Hydra, and report the worst status of all jobs."""
    try:
        prepare(sys.argv[1:])
    except BenchError as error:
        complain(error)
        return 1
    sweep = any(word in ("-m", "--multirun") for word in sys.argv[1:])
    shared = Path(os.environ.get("CLOAKBENCH_SWEEPS", "runs/.sweeps")) if sweep else None
    with gathered(shared) as folder:
        try:
            task()
        except KeyboardInterrupt:
            complain(BenchError("Interrupted.", "Finished work is kept: the same command goes on from here."))
            return 130
        ended = ends(folder)
    bad = [end for end in ended if end.status]
    if sweep and bad:
        listed = "\n".join(f"  {end.words}" + (f": {end.reason}" if end.reason else "") for end in bad)
        complain(BenchError(f"{len(bad)} of {len(ended)} jobs failed or have cells that are not ok:", listed))
    return max((end.status for end in ended), default=0)


if __name__ == "__main__":
    sys.exit(main())
