"""Paths that people write: `~` and environment variables stand for what they mean, wherever a path is given."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError

VARIABLE = re.compile(r"\$(?:\{([A-Za-z_]\w*)\}|([A-Za-z_]\w*))")
ELSEWHERE = ("protocol", "hydra")
"""Groups of settings with texts that are no paths."""


def expanded(given: str | os.PathLike[str]) -> Path:
    """The path that somebody means.

    Raises:
        BenchError: a variable that is not set, a person who has no home here, or a character that no path has.
    """
    text = os.path.expanduser(given)  # noqa: PTH111  # pathlib's raises where nobody has that name
    if "\0" in text:
        raise BenchError(f"{text!r} is no path: it has a NUL character.", "Write the name without it.")
    if text.startswith("~"):
        raise BenchError(f"{text}: {text.partition('/')[0]} has no home folder here.", "Write the path out.")
    unset = [match[0] for match in VARIABLE.finditer(text) if (match[1] or match[2]) not in os.environ]
    if unset and os.path.lexists(text):  # a file may be called so
        return Path(text)
    if unset:
        raise BenchError(f"{text}: the variable {unset[0]} is not set.", "Set it, or write the path out.")
    return Path(os.path.expandvars(text))


def all_expanded(config: Mapping[str, Any]) -> dict[str, Any]:
    """A configuration with all paths in it as they are meant: texts that begin with `~` or `$`, or have `/$`."""
    return {key: value if key in ELSEWHERE else _expanded(value) for key, value in config.items()}


def _expanded(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _expanded(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_expanded(each) for each in value]
    named = isinstance(value, str) and (re.match(r"~[\w.-]*(/|$)|\$[\w{]", value) or "/$" in value or "\0" in value)
    return str(expanded(value)) if named else value
