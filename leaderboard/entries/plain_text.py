"""What no text of an entry may hold: characters that nobody sees, and names or passwords in addresses.

A format character turns letters round (U+202E) or makes two names look alike (U+200B); a control character drives the
terminal that shows it. Line breaks are allowed where somebody writes at length.
"""

from __future__ import annotations

import re
import unicodedata
from typing import Any

UNSEEN = {"Cc", "Cf", "Zl", "Zp"}
"""Unicode's categories: control, format, line separator, paragraph separator."""
PARAGRAPHS = {"description", "command", "reason", "unavailable"}
"""Fields of entries and records with line breaks, and of those all that they hold."""
USER = re.compile(r"://[^\s/?#]*@")


def may_have_faults(data: bytes) -> bool:
    """Whether JSON needs to be looked through: most is plain ASCII without escapes."""
    return not data.isascii() or b"\\" in data or b"\x7f" in data or b"@" in data


def fault(value: Any, field: str = "", lines: bool = False) -> tuple[str, str] | None:
    """Where in a JSON value the first such text stands, and what is wrong with it."""
    if isinstance(value, str):
        wrong = _wrong(value, lines)
        return (field, wrong) if wrong else None
    if isinstance(value, dict):
        for name, part in value.items():
            within = f"{field}.{name}".strip(".")
            found = fault(name, within) or fault(part, within, lines or (not field and name in PARAGRAPHS))
            if found:
                return found
    for number, part in enumerate(value if isinstance(value, list) else ()):
        if found := fault(part, f"{field}.{number}", lines):
            return found
    return None


def _wrong(text: str, lines: bool) -> str:
    for c in text:
        if unicodedata.category(c) in UNSEEN and not (lines and c == "\n"):
            called = unicodedata.name(c, "a control character")
            return f"has U+{ord(c):04X} ({called}), which nobody sees. Take it out."
    if USER.search(text):
        return "has an address with a name or a password before @. Take that out of it."
    return ""
