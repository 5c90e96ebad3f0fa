"""What is known of a sweep before its first job begins: how many jobs there are, and what they lack.

The others of a sweep go on, but nobody waits for them.

Every value is looked at once, with the first of all other keys: what is missing hangs on one choice, rarely on two.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import prod

from hydra.core.override_parser.overrides_parser import OverridesParser

from bench.config.commandline import split
from bench.config.compose import settings_of
from bench.core.errors import BenchError
from bench.core.types import Dataset

ELSEWHERE = ("hydra/launcher", "hydra/sweeper")
"""Who sets one of these may run jobs on machines that have other files, or not know the jobs yet."""


def lacking(arguments: Sequence[str]) -> Iterator[tuple[str, BenchError]]:
    """Values of a sweep that cannot run here, as "key=value", each with the reason."""
    from bench.models.diffusion.model_cache import Pool
    from bench.runner.plan import cells, load_data

    loaded: dict[str, Dataset] = {}
    if any(word.startswith(ELSEWHERE) for word in arguments):
        return
    line = split(arguments)
    flags = [flag for flag in line.flags if flag not in ("-m", "--multirun")]
    for changed, overrides in _one_by_one(line.overrides):
        try:
            settings = settings_of([*overrides, *flags])
            facts = f"{settings.data.model_dump_json()} {settings.model.resolution}"
            if facts not in loaded:
                loaded[facts] = load_data(settings)
            cells(settings, loaded[facts], Pool("cpu"))
        except BenchError as error:
            yield changed, error


def jobs(arguments: Sequence[str]) -> int | None:
    """How many jobs a sweep has: every combination; None where a sweeper of another kind decides."""
    if any(word.startswith(("hydra/sweeper", "hydra.sweeper")) for word in arguments):
        return None
    parsed = OverridesParser.create().parse_overrides(list(split(arguments).overrides))
    return prod(len(list(each.sweep_string_iterator())) for each in parsed if each.is_discrete_sweep())


def _one_by_one(overrides: Sequence[str]) -> Iterator[tuple[str, list[str]]]:
    """Every value of every swept key, and a job's overrides with it: of the other keys the first value."""
    parsed = OverridesParser.create().parse_overrides(list(overrides))
    choices = [
        [f"{each.get_key_element()}={value}" for value in each.sweep_string_iterator()]
        if each.is_discrete_sweep()
        else [str(each.input_line)]
        for each in parsed
    ]
    first = [values[0] for values in choices]
    for index, values in enumerate(choices):
        for value in values if len(values) > 1 else ():
            if not _is_number(value.partition("=")[2]):
                yield value, [*first[:index], value, *first[index + 1 :]]


def _is_number(value: str) -> bool:
    """Whether a value is a number: none names a file, and sweeps may have hundreds."""
    try:
        float(value)
    except ValueError:
        return False
    return True
