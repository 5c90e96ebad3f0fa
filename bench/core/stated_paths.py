"""Paths as they may be stated where others read them: without the folders of somebody's machine."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path, PurePosixPath, PureWindowsPath
from typing import Any

_PART = r"[^\s/\\'\"`,;:()\[\]{}<>|*?]+"
ABSOLUTE = re.compile(
    r"(?<=')/[^'\n]*/[^'\n]+(?=')"  # in quotes, as the system's errors name files: spaces belong to them
    rf"|(?<![\w./:~<>-])(?:file://)?~?(?:/{_PART}){{2,}}/?"
    rf"|(?<![\w/])~\w*/{_PART}"
    rf"|(?<!\w)[A-Za-z]:[\\/]{_PART}(?:[\\/]{_PART})*"
    rf"|(?<!\\)\\\\{_PART}(?:\\{_PART})+"
)
"""An absolute path in a text, of two parts at least (`1 /255` is none), or one in a home folder. A URL has none."""


def shortened(value: Any) -> Any:
    """A plain value with the last part alone of every absolute path in its texts: ".../weights"."""
    return _in_texts(value, _last_part)


def relative(value: Any) -> Any:
    """A plain value with every absolute path in its texts as seen from where the user stands, if that can be said."""
    return _in_texts(value, _from_here)


def _in_texts(value: Any, replace: Callable[[str], str]) -> Any:
    if isinstance(value, dict):
        return {key: _in_texts(each, replace) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_in_texts(each, replace) for each in value]
    if not isinstance(value, str):
        return value
    if _is_path(value):
        return replace(value)
    return ABSOLUTE.sub(lambda match: replace(match[0]), value)


def _is_path(text: str) -> bool:
    """Whether a text as a whole is an absolute path."""
    return (len(text) > 1 and PurePosixPath(text).is_absolute()) or PureWindowsPath(text).is_absolute()


def _last_part(path: str) -> str:
    return ".../" + re.split(r"[/\\]", path.rstrip("/\\"))[-1]


def _from_here(path: str) -> str:
    try:
        return os.path.relpath(Path(path).expanduser())
    except (ValueError, RuntimeError):  # on another drive; or whose home that is nobody knows
        return path
