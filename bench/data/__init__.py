"""Data sets: where identities come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

from bench.hashing import hash_of
from bench.registry import Registry
from bench.types import Dataset, Identity


@dataclass(frozen=True)
class Source(ABC):
    """A data set that can be loaded at a resolution. Subclasses are dataclasses; fields are the `data.` settings."""

    @abstractmethod
    def load(self, resolution: int) -> Dataset:
        """All wanted identities, photos cropped and resized to `resolution` pixels square.

        Raises:
            BenchError: the data is not there, or a file is not a photo.
        """


def dataset(name: str, licence: str, identities: list[Identity]) -> Dataset:
    """A `Dataset` with its fingerprint: the hash of all names and pixels."""
    facts = [
        [person.name, part, photo.name, photo.sha256]
        for person in identities
        for part, photos in (("A", person.reference), ("B", person.protect), ("C", person.extra))
        for photo in photos
    ]
    return Dataset(name, licence, tuple(identities), hash_of(facts))


SOURCES: Registry[Source] = Registry(
    "data",
    "cloakbench.data",
    {"folder": "bench.data.folder:Folder", "synthetic": "bench.data.synthetic:Synthetic"},
)
