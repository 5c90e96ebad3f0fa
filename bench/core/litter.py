"""What operating systems and file servers leave in folders and zips, and nobody means."""

from __future__ import annotations

LITTER = frozenset(
    {".ds_store", ".localized", ".appledouble", ".spotlight-v100", ".trashes", ".fseventsd", "icon\r", "__macosx"}
    | {"thumbs.db", "ehthumbs.db", "desktop.ini", "$recycle.bin", "system volume information"}
    | {".directory", "lost+found", "@eadir", "#recycle", "#snapshot"}
)
"""In lower case."""


def is_litter(name: str) -> bool:
    """Whether a file or folder of this name (without its folder) is of no interest to anybody."""
    return name.startswith("._") or name.casefold() in LITTER
