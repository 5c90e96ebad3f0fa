"""The store is its owner's alone: folders that nobody else may enter, files that nobody else has put there."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections.abc import Callable
from pathlib import Path

from bench.core.errors import BenchError

FOLDER_MODE = 0o700
FILE_MODE = 0o600


def make_root(root: Path) -> None:
    """Make the store's folder, or close one that is open to others; those above it are left as they are.

    Raises:
        BenchError: it is somebody else's.
    """
    root.parent.mkdir(parents=True, exist_ok=True)
    with contextlib.suppress(FileExistsError):
        root.mkdir(FOLDER_MODE)
    facts = root.stat()  # the folder may be reached by a link of the owner's own
    if not _is_own(facts):
        raise BenchError(
            f"The store {root} belongs to another user, who could change what is read from it.",
            "Give a folder of your own: store=..., or $CLOAKBENCH_STORE.",
        )
    if stat.S_IMODE(facts.st_mode) & 0o077:
        with contextlib.suppress(OSError):  # a file system without permissions
            root.chmod(FOLDER_MODE)


def make_folder(folder: Path, root: Path) -> None:
    """Make a folder inside the store, and those between."""
    for place in (*reversed(folder.relative_to(root).parents), folder.relative_to(root)):
        with contextlib.suppress(FileExistsError):
            (root / place).mkdir(FOLDER_MODE)


def close(folder: Path) -> None:
    """Make all in a folder its owner's alone, whatever the umask was."""
    for place, _, names in os.walk(folder):
        Path(place).chmod(FOLDER_MODE)
        for name in names:
            if not (file := Path(place, name)).is_symlink():
                file.chmod(FILE_MODE)


def clear(path: Path) -> None:
    """Delete whatever is there, never what a link leads to."""
    if path.is_symlink() or path.is_file():
        path.unlink()
    else:
        shutil.rmtree(path, ignore_errors=True)


def plain_files(folder: Path) -> set[str] | None:
    """Places of all files in a folder and below; None if there is a link, or something of another user's.

    Raises:
        FileNotFoundError: something disappears meanwhile.
    """
    if not _is_plain(folder, stat.S_ISDIR):
        return None
    found = set()
    for place, folders, names in os.walk(folder):
        if not all(_is_plain(Path(place, name), stat.S_ISDIR) for name in folders):
            return None
        if not all(_is_plain(Path(place, name), stat.S_ISREG) for name in names):
            return None
        found |= {Path(place, name).relative_to(folder).as_posix() for name in names}
    return found


def _is_plain(path: Path, kind: Callable[[int], bool]) -> bool:
    facts = path.lstat()
    return kind(facts.st_mode) and _is_own(facts)


def _is_own(facts: os.stat_result) -> bool:
    """Whether it is this process's user's; where the system has no users, it is."""
    return not hasattr(os, "geteuid") or facts.st_uid == os.geteuid()
