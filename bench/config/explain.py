"""Hydra's errors in the project's words: which setting or option is wrong, and what is allowed.

Hydra advises `+key=value` for an unknown key, which would be wrong here, and lists search paths for an unknown option.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from hydra.core.config_loader import ConfigLoader
from hydra.core.object_type import ObjectType
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import InterpolationKeyError, InterpolationResolutionError

from bench.config.parsing import annotation_at
from bench.core.errors import BenchError, unknown_name

EXTRAS = {
    "hydra/launcher/joblib": "'cloakbench[joblib]'",
    "hydra/launcher/ray": "'cloakbench[ray]'",
    "hydra/launcher/ray_aws": "'cloakbench[ray]'",
    "hydra/launcher/submitit_local": "'cloakbench[slurm]'",
    "hydra/launcher/submitit_slurm": "'cloakbench[slurm]'",
    "hydra/launcher/rq": "hydra-rq-launcher",
    "hydra/sweeper/ax": "hydra-ax-sweeper",
    "hydra/sweeper/nevergrad": "hydra-nevergrad-sweeper",
    "hydra/sweeper/optuna": "hydra-optuna-sweeper",
    "hydra/hydra_logging/colorlog": "hydra-colorlog",
    "hydra/job_logging/colorlog": "hydra-colorlog",
}
"""Hydra's own plug-ins, and what to install for them."""


def explained(error: Exception, overrides: Sequence[str], options: ConfigLoader, plain: DictConfig) -> BenchError:
    """The nearest error of the project for one of Hydra's.

    Args:
        error: what Hydra raised.
        overrides: those of the command line.
        options: knows the groups and their options.
        plain: the configuration without what was set; says which settings there are.
    """
    text = f"{error}\n{error.__cause__}"
    if isinstance(error, MissingConfigException):
        return _missing(error, options)
    if isinstance(error, InterpolationKeyError | InterpolationResolutionError):
        place = f"{error.full_key}: " if error.full_key else ""
        fix = "${name} stands for the value of another setting; for the characters themselves, type \\${name}."
        if "prompts" in place:  # a placeholder as shells write it, say
            fix = "A placeholder of prompts has no dollar sign: {subject}."
        return BenchError(f"{place}{str(error).partition(chr(10))[0]}.", fix)
    word = re.search(r"'?\+{1,2}([\w./-]+)=(\S*)", text)
    if word and ("already at" in text or "Multiple values" in text or "force-add" in text):
        return BenchError(f"{word[1]} is there already.", f"Leave out the +: {word[1]}={word[2].rstrip(chr(39))}")
    added = re.search(r"Multiple values for ([\w/]+)", text)
    if added:
        return BenchError(f"{added[1]} is chosen already.", f"Leave out the +: {added[1]}=...")
    key = (
        re.search(r"full_key: ([\w./-]+)", text)
        or re.search(r"Could not override '([\w./-]+)'", text)
        or re.search(r"Could not delete (?:from config\. )?'([\w./-]+)'", text)
    )
    if key and ("not in" in text or "Could not" in text):
        named = [w.partition("=")[0].lstrip("+~") for w in overrides]
        full = next((name for name in named if name.endswith(key[1])), key[1])
        if annotation_at(full.split(".")) is not None:
            return BenchError(f"{full} has no default here.", f"Write +{full}=... to set it.")
        return unknown_name("setting", full, _beside(full, plain))
    if merged := re.search(r"Error merging override (\S+)", text):
        said = str(error.__cause__).partition("\n")[0]
        return BenchError(f"Bad setting {merged[1]}.", f"{said}.")
    return BenchError(str(error).partition("\n")[0], "See python -m bench --help, and --hydra-help.")


def _missing(error: MissingConfigException, options: ConfigLoader) -> BenchError:
    """The error for an option, a file or a folder of configurations that is not there."""
    file = error.missing_cfg_file
    if not file:
        return BenchError(str(error).replace("\n", " "), "Give the path of a folder with configurations.")
    group, _, name = file.rpartition("/")
    if not group:
        names = options.get_group_options("", ObjectType.CONFIG)
        return unknown_name("configuration", name, [one for one in names if not one.startswith("_")])
    allowed = error.options or options.get_group_options(group, ObjectType.CONFIG)
    if file in EXTRAS:
        return BenchError(f"{group}={name} is not installed.", f"Get it with: pip install {EXTRAS[file]}")
    unknown = unknown_name(group, name, allowed)
    if not group.startswith("hydra/"):
        return unknown
    more = [path.rpartition("/")[2] for path in EXTRAS if path.rpartition("/")[0] == group]
    return BenchError(
        unknown.message,
        f"{unknown.fix} Others are Hydra's plug-ins, to be installed: {', '.join(more) or 'none known'}.",
    )


def _beside(key: str, plain: DictConfig) -> list[str]:
    """All settings beside an unknown one, or those at the nearest place that there is."""
    while key:
        key, _, _ = key.rpartition(".")
        node = OmegaConf.select(plain, key) if key else plain
        if isinstance(node, DictConfig):
            return [f"{key}.{name}" if key else name for name in map(str, node)]
    return [str(name) for name in plain]
