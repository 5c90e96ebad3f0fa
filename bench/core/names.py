"""Names of files and people, compared as people mean them: accents in one form, numbers by their value."""

from __future__ import annotations

import re
import unicodedata


def composed(name: str) -> str:
    """The name in Unicode's composed form (NFC): "é" is one letter, even if a file system has "e" and an accent."""
    return unicodedata.normalize("NFC", name)


def natural(name: str) -> tuple[list[str | int], str]:
    """Sort key that counts: "9.jpg" comes before "10.jpg". Equal widths sort as text does: "09" before "10"."""
    name = composed(name)
    return [int(part) if part.isdecimal() else part for part in re.split(r"(\d+)", name)], name
