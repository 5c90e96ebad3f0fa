"""Errors that teach: what was wrong, what is allowed, and what was probably meant."""

from __future__ import annotations

import errno
import os
import traceback
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from difflib import get_close_matches
from pathlib import Path

from bench.core.names import natural


class BenchError(Exception):
    """A mistake the user can mend. Shown as one short message, without a traceback.

    Args:
        message: what was wrong.
        fix: what to do about it; may span several lines.
    """

    def __init__(self, message: str, fix: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.fix = fix

    def __str__(self) -> str:
        return f"{self.message}\n{self.fix}" if self.fix else self.message


def reason_of(error: BaseException) -> str:
    """What an error says, never nothing: one without a message (that of an `assert`) by its type and its line."""
    said = str(error).strip()
    if said and isinstance(error, BenchError):
        return said
    lines = traceback.extract_tb(error.__traceback__)
    said = said or (lines[-1].line if lines else "") or "no message"
    return f"{type(error).__name__}: {said}"


class FitFailed(BenchError):
    """An attack could not use these photos (no face, say). It is a result, recorded as `fit_failed`."""


SYSTEM = {
    errno.ENOSPC: "The disk is full",
    errno.EDQUOT: "The disk quota is used up",
    errno.EROFS: "The folder is on a file system that cannot be written to",
    errno.EACCES: "You have no permission",
    errno.EPERM: "You have no permission",
    errno.ENOENT: "There is no such file or folder",
    errno.ENOTDIR: "A file is where a folder is meant",
    errno.EEXIST: "Something of that name is there already",
    errno.EISDIR: "A folder is where a file is meant",
    errno.ENOTEMPTY: "The folder is not empty",
    errno.ENAMETOOLONG: "The name is too long for the file system",
    errno.ELOOP: "The link leads back to itself",
    errno.EMFILE: "Too many files are open",
    errno.EIO: "The disk, or the network that it is on, fails",
}
"""What the system's errors say, in words."""

UNWRITABLE = (errno.ENOSPC, errno.EDQUOT, errno.EROFS)
"""Nothing can be saved any more, whatever cell comes next."""


class Unwritable(BenchError):
    """Nothing can be saved any more. It ends the run: no cell is to blame, and none would fare better."""


def of_system(error: OSError) -> BenchError:
    """The error to show for one of the system's."""
    file = error.filename if isinstance(error.filename, str | os.PathLike) else None
    why = SYSTEM.get(error.errno or 0, error.strerror or str(error))
    if file and error.errno == errno.EEXIST and not Path(file).exists():
        why = "The link leads to nothing"
    return BenchError(f"{why}: {file}" if file else f"{why}.", "Mend that, or name another place.")


@contextmanager
def system_errors() -> Iterator[None]:
    """Turn what the system says of files into words; what nobody can name passes.

    Raises:
        BenchError: see `of_system`.
    """
    try:
        yield
    except BrokenPipeError:
        raise  # of who reads what is printed
    except OSError as error:
        if error.errno is None:
            raise  # of a library, which may mean anything by it
        raise of_system(error) from error


@contextmanager
def writing() -> Iterator[None]:
    """Turn what the system says when nothing can be written into `Unwritable`; other errors pass.

    Raises:
        Unwritable: the disk is full, or read-only.
    """
    try:
        yield
    except Exception as error:
        for number in UNWRITABLE:
            # Libraries written in other languages have errors of their own, which quote the system's.
            quoted = (f"os error {number})", f"[errno {number}]")  # as safetensors and pyarrow do
            if getattr(error, "errno", None) == number or any(words in str(error).lower() for words in quoted):
                name = getattr(error, "filename", None)
                where = f" ({name})" if name else ""
                raise Unwritable(
                    f"{SYSTEM[number]}{where}.", "Finished work is kept: make room, or set store= and out=, and repeat."
                ) from error
        raise


def unknown_name(what: str, name: str, allowed: Iterable[str]) -> BenchError:
    """The error for a name that is not among `allowed`, with the nearest match first."""
    options = sorted(allowed, key=natural)
    # Compare the last parts only: "defense.zzz" is not like "defense.name" because both begin with "defense.".
    last = {option.rpartition(".")[2]: option for option in options}
    close = get_close_matches(name.rpartition(".")[2], last, n=1, cutoff=0.5)
    guess = f"Did you mean {last[close[0]]!r}? " if close else ""
    return BenchError(f"Unknown {what} {name!r}.", f"{guess}Allowed: {', '.join(options) or '(nothing)'}.")
