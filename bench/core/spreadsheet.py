"""CSV files, which people open with a spreadsheet: every text is quoted, and no name may become a formula there."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any, TypeVar

V = TypeVar("V")

FORMULA = re.compile(r"\s*[=+\-@\t\r\n\uff1d\uff0b\uff0d\uff20]")
"""How what a spreadsheet computes begins, in full width too; some take spaces in front away."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE | re.ASCII)


def csv_text(rows: Iterable[Iterable[Any]]) -> str:
    """Lines of a CSV file. Quotes keep a text one cell where a spreadsheet separates by semicolons or tabs."""
    return "".join(",".join(map(_cell, row)) + "\n" for row in rows)


def _cell(value: Any) -> str:
    text = "" if value is None else str(as_text(value))
    return text if not text or NUMBER.fullmatch(text) else '"' + text.replace('"', '""') + '"'


def as_text(value: V) -> V | str:
    """A cell's value; text that begins like a formula gets an apostrophe in front, and numbers stay numbers."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def restored(text: str) -> str:
    """The text that `as_text` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text, 1) else text
