"""Stage 2: what happens to the cloaked photos before the attacker trains on them."""

from __future__ import annotations

from pathlib import Path

from bench.code import code_version, module_version
from bench.hashing import hash_of
from bench.seeds import generator
from bench.settings import Method
from bench.stages import photos
from countermeasures import Countermeasure


def key(protected: str, method: Method, countermeasure: Countermeasure, seed: int) -> str:
    """Hash of the cloaked photos' key, the countermeasure, its settings and code, and the seed."""
    code = [module_version(__name__), code_version(type(countermeasure))]
    return hash_of({"photos": protected, "countermeasure": method.facts(), "code": code, "seed": seed})


def counter(folder: Path, protected: Path, countermeasure: Countermeasure, seed: int, identity: str) -> None:
    """Write the treated photos as PNGs."""
    treated = countermeasure.apply(photos.load(protected), generator(seed, "counter", identity))
    photos.save(folder, treated)
