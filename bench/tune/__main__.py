"""python -m bench.tune defense=dladiff data=../shared/data/celeba_train.parquet

Prints all trials of a defense, the best first; `bench/tune/conf` has the settings and the spaces. Of a plug-in:
--config-dir=<folder with defense/my_cloak.yaml> defense=my_cloak 'run=["plugins=[my_cloak.py]"]'.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import hydra
from omegaconf import DictConfig, OmegaConf
from pydantic import Field, ValidationError

from bench.config.schema import Effort
from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.core.ranges import Budgeted, Range, Several
from bench.core.strict import Strict
from bench.tune.people import prepare, tuning_people
from bench.tune.space import Space
from bench.tune.table import markdown, save
from bench.tune.trials import Trial, run_trial

PEOPLE = "people.parquet"


class Tuning(Strict):
    """A tuning: see `conf/tune.yaml`."""

    defense: Space
    data: str
    people: Annotated[int, Range(ge=1, le=len(tuning_people()), unit="people kept for tuning")]
    trials: Annotated[int, Range(ge=2, unit="trials, the preset among them")]
    budget: Budgeted
    effort: Effort
    attacks: Annotated[list[str | dict[str, Any]], Field(min_length=1)]
    seed: Several
    out: str
    run: list[str]


def tune(tuning: Tuning) -> list[Trial]:
    """Run all trials, in order; what is done already takes seconds.

    Raises:
        BenchError: a run cannot be, or a cell failed.
    """
    out = expanded(tuning.out)
    prepare(tuning.data, out / PEOPLE)
    words = [
        "data=parquet",
        f"data.root={out / PEOPLE}",
        f"data.identities={tuning_people()[: tuning.people]}",
        f"suite.budgets=[{tuning.budget:g}]",
        f"effort={tuning.effort}",
        f"store={out / 'store'}",
        *tuning.run,
    ]
    done = []
    for number, settings in enumerate(tuning.defense.trials(tuning.trials, tuning.seed)):
        defense = {"name": tuning.defense.name, **tuning.defense.fixed, **settings}
        done.append(run_trial(number, defense, tuning.attacks, words, out / tuning.defense.name / f"trial-{number:03}"))
        print(f"trial {number} of {tuning.trials - 1}: likeness {done[-1].score:.3f}", file=sys.stderr, flush=True)
    return done


def read(config: DictConfig) -> Tuning:
    """The settings, checked.

    Raises:
        BenchError: one is missing or makes no sense.
    """
    if missing := sorted(OmegaConf.missing_keys(config)):
        raise BenchError(f"{missing[0]} has no value.", f"Give it: {missing[0]}=...")
    try:
        return Tuning.model_validate(OmegaConf.to_container(config, resolve=True))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"] if part not in ("Span", "list[any]"))
        raise BenchError(f"Bad setting {place}.", f"{first['msg'].removeprefix('Value error, ')}.") from None


@hydra.main(version_base=None, config_path="conf", config_name="tune")
def main(config: DictConfig) -> None:
    """Tune and print the table."""

    def command(_: Sequence[str]) -> int:
        tuning = read(config)
        done = tune(tuning)
        save(done, Path(expanded(tuning.out), tuning.defense.name, "trials.json"))
        print(markdown(tuning.defense.name, done))
        return 0

    sys.exit(guarded(command, []))


if __name__ == "__main__":
    main()
