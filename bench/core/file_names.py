"""Names that others chose (people in a table, labels of methods) as names of files: none leads out of its folder."""

from __future__ import annotations

import unicodedata
from pathlib import Path

from bench.core.errors import BenchError

MARKS = " -_.,()+=~@'&%"
"""What a file's name may have besides letters, digits and accents, in any script."""
LONGEST = 200
"""Bytes in UTF-8. File systems take 255, and endings and temporary names come on top."""


def is_file_name(name: str) -> bool:
    """Whether a text may be the name of a file or folder as it is.

    It has allowed characters alone, does not begin with a dot (hidden, `..`), nor end with a dot or a space (which
    some systems take off).
    """
    plain = all(c in MARKS or unicodedata.category(c)[0] in "LMN" for c in name)
    return plain and 0 < len(name.encode()) <= LONGEST and name[0] not in ". " and name[-1] not in ". "


def file_name(text: str) -> str:
    """A label as a name that is allowed: "noise 8/255" is "noise 8-255"."""
    safe = "".join(c if is_file_name(f"a{c}a") else "-" for c in text)
    return safe.encode()[:LONGEST].decode(errors="ignore").strip(". ") or "-"


def inside(folder: Path, *names: str) -> Path:
    """The path of a file in a folder, or in folders in it.

    Raises:
        BenchError: a name is not allowed, or a link leads elsewhere.
    """
    for name in names:
        if not is_file_name(name):
            raise BenchError(
                f"{name!r} cannot be the name of a file.",
                f"Rename it: letters, digits and any of{MARKS}, no dot at the beginning or the end, "
                f"at most {LONGEST} bytes.",
            )
    path = folder.joinpath(*names)
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BenchError(f"{path} is not in {folder}: a link leads elsewhere.", "Remove the link.")
    return path
