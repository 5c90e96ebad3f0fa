"""Texts in CSV files, which people open with a spreadsheet: no name may become a formula there."""

from __future__ import annotations

import re
from typing import TypeVar

V = TypeVar("V")

FORMULA = re.compile(r"[=+\-@\t\r]")
"""How what a spreadsheet computes begins."""
NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?|[+-]?(nan|inf(inity)?)", re.IGNORECASE)


def as_text(value: V) -> V | str:
    """A cell's value; text that begins like a formula gets an apostrophe in front, and numbers stay numbers."""
    if isinstance(value, str) and FORMULA.match(value) and not NUMBER.fullmatch(value):
        return f"'{value}"
    return value


def restored(text: str) -> str:
    """The text that `as_text` was given."""
    return text[1:] if text.startswith("'") and FORMULA.match(text, 1) else text
