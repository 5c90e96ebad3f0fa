"""A random text that only this store has: who has not got it cannot guess what was hashed with it."""

from __future__ import annotations

import secrets
from pathlib import Path

from filelock import FileLock

from bench.core.errors import BenchError
from bench.store import Store, write_atomic
from bench.store.private import FILE_MODE

FILE = ".secret"


def secret(root: Path) -> str:
    """The secret of the store in a folder, made when it is first asked for.

    Raises:
        BenchError: it cannot be written.
    """
    file = root / FILE
    try:
        if not file.is_file():
            with FileLock(Store(root).root / f"{FILE}.lock", mode=FILE_MODE):
                if not file.is_file():
                    write_atomic(file, secrets.token_hex(32).encode(), FILE_MODE)
        return file.read_text()
    except OSError as error:
        raise BenchError(f"{file} cannot be written ({error.strerror}).", "Give another folder: store=...") from error
