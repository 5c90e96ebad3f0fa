"""Stage 6: what instruments other than the judge see in pictures. One entry for every instrument.

So a further instrument, or weights that come later, cost no other one's work, and the keys of the stages before this
one do not know of it. Scores are computed from what is stored, as for the judge.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from safetensors.numpy import load_file, save_file

from bench.core.code_version import code_version, module_version
from bench.core.hashing import hash_of
from bench.core.types import Array, Pixels
from bench.store import Store

FILE = "described.safetensors"


class Instrument(Protocol):
    """Describes pictures by arrays. Deterministic, and no picture's description depends on the others."""

    @property
    def fingerprint(self) -> str:
        """Hash or name of everything but the code that its output depends on."""

    def describe(self, pictures: Sequence[Pixels]) -> dict[str, Array]:
        """Named arrays; what they mean is the instrument's business."""


def key(pictures: str, instrument: Instrument) -> str:
    """Hash of the pictures' key, the instrument and its code."""
    return hash_of([pictures, instrument.fingerprint, code_version(type(instrument)), module_version(__name__)])


def described(store: Store, pictures_key: str, pictures: Sequence[Pixels], instrument: Instrument) -> dict[str, Array]:
    """What an instrument sees in pictures that have a key; from the store, if it has looked at them before."""

    def work(folder: Path) -> None:
        save_file(instrument.describe(pictures), folder / FILE)

    entry = store.compute("describe", key(pictures_key, instrument), work)
    return dict(load_file(entry.path / FILE))
