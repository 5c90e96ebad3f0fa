"""Reading JSON of strangers: what is wrong, in which file and field, and what to do about it."""

from __future__ import annotations

import json
import math
import re
import reprlib
import traceback
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError
from pydantic_core import ErrorDetails

from bench.core.errors import BenchError
from leaderboard.entries.plain_text import fault, may_have_faults

M = TypeVar("M", bound=BaseModel)

WHOLE = "(whole file)"
LONGEST = 300
"""Characters of a part of a problem: whoever reads it must not have to read ten megabytes."""
MOST_VALUES = 100_000
"""Of one JSON text, so that time and memory for it stay small; a record of a thousand pictures has a tenth of them."""
MOST_ERRORS = 1_000
"""In one text that are looked at one by one."""


WORKFLOW_COMMAND = re.compile(r"^[\s?]*::|##\[")
"""`::error::` at the beginning of a line, and `##[error]` anywhere in it."""

SLUG = r"^[a-z0-9][a-z0-9-]{0,59}$"
SHA256 = r"^[0-9a-f]{64}$"
URL = r"^(https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?([/?#][^\s<>\x22'`\\]*)?)?$"
VERSION = r"^[0-9]{1,4}(\.[0-9]{1,4}){0,2}$"
IN_WORDS = {
    SLUG: "1 to 60 lower-case letters (a to z), digits and hyphens, of which the first is no hyphen",
    SHA256: "64 hexadecimal digits",
    URL: "an address that begins with http:// or https:// and a host (no name or password before it, no letters but a "
    "to z in it), and has no spaces, quotes or backslashes",
    VERSION: "a version, such as 1 or 1.2",
}
"""Pattern -> what it allows."""


@dataclass(frozen=True)
class Problem:
    """One thing that is wrong with an entry.

    Attributes:
        file: which file, with the line where there are lines ("x/records.jsonl.gz:17").
        field: which part of it ("defense.budget").
        message: what is wrong, and what to do.
    """

    file: str
    field: str
    message: str

    def __post_init__(self) -> None:
        """All parts are kept short and free of control characters: they quote what strangers wrote."""
        for name, value in vars(self).copy().items():
            object.__setattr__(self, name, clip(value))

    def __str__(self) -> str:
        return f"{self.file}: {self.field}: {self.message}"


class BadEntry(BenchError):
    """An entry, or a part of one, that cannot be used."""

    def __init__(self, file: str, field: str, message: str) -> None:
        self.problem = Problem(file, field, message)
        super().__init__(str(self.problem))


def parse(model: type[M], data: bytes, file: str) -> M:
    """Strict JSON as a model; no type is converted.

    Raises:
        BadEntry: no JSON, NaN or Infinity anywhere, a key given twice, too much, a text that is not plain
            (`plain_text`), or what the model does not allow.
    """
    if data.count(b",") > MOST_VALUES:
        raise BadEntry(file, WHOLE, f"has more than {MOST_VALUES} values. Split the entry.")
    try:
        made = model.model_validate_json(data, strict=True)
    except ValidationError as error:
        raise explain(error, file) from None
    # Pydantic keeps the last of two equal keys, and lets NaN pass in parts without a schema. Bytes that it would have
    # written itself can hold neither, and comparing is three times as fast as looking.
    if made.model_dump_json(exclude_unset=True).encode() != data:
        _look(data, file)
    if may_have_faults(data) and (wrong := fault(json.loads(data))):
        raise BadEntry(file, *wrong)
    return made


def explain(error: ValidationError, file: str) -> BadEntry:
    """The first error of a validation, in words: of a newer schema, the version, which is the first field of all."""
    if (count := error.error_count()) > MOST_ERRORS:  # to list them takes a thousand bytes each
        return BadEntry(file, WHOLE, f"has {count} values that are wrong. Write it with leaderboard submit.")
    first = error.errors(include_url=False)[0]
    return BadEntry(file, ".".join(map(str, first["loc"])) or WHOLE, _message(first))


def _is_newer(error: ErrorDetails) -> bool:
    version = error["input"]
    return error["loc"] == ("schema_version",) and isinstance(version, int | float) and version > 1


def _message(error: ErrorDetails) -> str:
    if _is_newer(error):
        return f"is {error['input']}, written by a newer version than this one: upgrade with pip install -U cloakbench."
    match error["type"]:
        case "json_invalid":
            return f"not JSON: {error['msg'].removeprefix('Invalid JSON: ')}. Write it with a JSON library."
        case "extra_forbidden":
            return "no such field. Remove it, or look for its right name in the schema."
        case "missing":
            return "this field is missing. Add it."
        case "value_error":
            return error["msg"].removeprefix("Value error, ")
        case "finite_number":
            return "NaN and Infinity are not numbers of JSON. Write null, and say why in `unavailable`."
        case "string_pattern_mismatch" if words := IN_WORDS.get(error["ctx"]["pattern"]):
            return f"must be {words}, not {reprlib.repr(error['input'])}."
    return f"{error['msg']}, not {reprlib.repr(error['input'])}."


def _look(data: bytes, file: str) -> None:
    """Raises BadEntry for a key that is there twice, or a number that JSON lacks."""
    try:
        json.loads(data, object_pairs_hook=_unique, parse_constant=_finite, parse_float=_finite)
    except _Twice as error:
        raise BadEntry(file, str(error), "this key is given twice in one object. Keep one of them.") from None
    except ArithmeticError:
        field = _infinite(json.loads(data)) or WHOLE
        raise BadEntry(file, field, "NaN and Infinity are not numbers of JSON. Write null.") from None
    except RecursionError:
        raise BadEntry(file, WHOLE, "nested too deeply. Flatten it.") from None


class _Twice(Exception):
    pass


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    made = dict(pairs)
    if len(made) != len(pairs):
        counts = Counter(name for name, _ in pairs)
        raise _Twice(next(name for name, count in counts.items() if count > 1))
    return made


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ArithmeticError
    return value


def _infinite(value: Any) -> str | None:
    """Where in a JSON value the first number that is not finite stands."""
    if isinstance(value, float) and not math.isfinite(value):
        return ""
    parts = value.items() if isinstance(value, Mapping) else enumerate(value) if isinstance(value, list) else ()
    for name, part in parts:
        inner = _infinite(part)
        if inner is not None:
            return f"{name}.{inner}".rstrip(".")
    return None


def not_understood(file: str, error: Exception) -> Problem:
    """The problem of an entry that is refused only because the code stumbles over it: a check is missing for it."""
    frame = traceback.extract_tb(error.__traceback__)[-1]
    what = f"{type(error).__name__}: {error}, {Path(frame.filename).name}:{frame.lineno}"
    return Problem(file, WHOLE, f"is not understood ({clip(what)}). Take it as leaderboard submit wrote it.")


def clip(text: str) -> str:
    """What a stranger wrote, short and in one line that neither a terminal nor a GitHub workflow obeys."""
    short = text if len(text) <= LONGEST else text[:LONGEST] + "..."
    return WORKFLOW_COMMAND.sub("?", "".join(c if c.isprintable() else "?" for c in short))
