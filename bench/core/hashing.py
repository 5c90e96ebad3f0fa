"""Content hashes: of files, of pixels, and of plain configuration values."""

from __future__ import annotations

import hashlib
import json
import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import numpy as np


def sha256_file(path: Path) -> str:
    """SHA-256 of a file's bytes, hexadecimal."""
    with path.open("rb", buffering=0) as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def sha256_files(folder: Path) -> dict[str, str]:
    """Place in a folder (`000.png`, `sub/a.txt`) -> SHA-256, of all files in it."""
    files = sorted(f"{place}/{name}" for place, _, names in os.walk(folder) for name in names)
    return {file[len(str(folder)) + 1 :].replace(os.sep, "/"): sha256_file(Path(file)) for file in files}


def sha256_array(array: np.ndarray[Any, Any]) -> str:
    """SHA-256 of an array's type, shape and bytes: equal pictures have equal hashes, whatever file they came from."""
    import numpy as np  # not at the top: commands that hash no picture start without it

    digest = hashlib.sha256(f"{array.dtype.str}{array.shape}".encode())
    digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def hash_of(value: Any) -> str:
    """SHA-256 of a JSON value, independent of key order. Anything that is not plain JSON is an error, not a `str()`."""
    _reject_other_keys(value)
    text = json.dumps(value, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()


def _reject_other_keys(value: Any) -> None:
    """JSON would quietly turn other keys into strings, and {1: x} must not have the hash of {"1": x}."""
    if isinstance(value, dict):
        for key, item in value.items():
            if not isinstance(key, str):
                raise TypeError(f"keys must be strings, not {key!r}")
            _reject_other_keys(item)
    elif isinstance(value, list | tuple):
        for item in value:
            _reject_other_keys(item)
