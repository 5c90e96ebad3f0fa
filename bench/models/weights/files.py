"""Hashes of model files, and whether the files are there, whole and as published. Needs no torch."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.hashing import sha256_file

ZOO = Path(__file__).parents[2] / "zoo"
"""The files that come with the package."""


def hashes(files: Mapping[str, Path], fix: str) -> dict[str, str]:
    """SHA-256 of some files, by the given names.

    Raises:
        BenchError: a file is missing or empty, or is a shipped one and not as it was published.
    """
    for path in files.values():
        if not path.is_file() or path.stat().st_size == 0:
            raise BenchError(f"The model file {path} is missing or empty.", fix)
    found = {name: _hash(path, path.stat().st_mtime_ns, path.stat().st_size) for name, path in files.items()}
    published = _published()
    for name, path in files.items():
        if published.get(path, found[name]) != found[name]:
            raise BenchError(f"The model file {path} is damaged: its hash is not the published one.", fix)
    return found


@cache
def _hash(path: Path, mtime_ns: int, size: int) -> str:
    """Hash a file once per process, unless it changes."""
    del mtime_ns, size  # only there to make a changed file another entry of the cache
    return sha256_file(path)


def _published() -> dict[Path, str]:
    """Hashes of the files that come with the package."""
    listed: dict[str, str] = json.loads((ZOO / "manifest.json").read_text())
    return {ZOO / name: digest for name, digest in listed.items()}
