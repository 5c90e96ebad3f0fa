"""Data sets: where identities come from."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

from bench.core.errors import unknown_name
from bench.core.hashing import hash_of
from bench.core.names import composed
from bench.core.registry import Registry
from bench.core.types import Dataset, Identity


@dataclass(frozen=True)
class Source(ABC):
    """A data set that can be loaded at a resolution. Subclasses are dataclasses; fields are the `data.` settings.

    Attributes:
        invented: whether nobody in it is a real person, so that pictures of them may be shown anywhere.
        cut: names of the settings by which photos are cut; records state them.
    """

    invented: ClassVar[bool] = False
    cut: ClassVar[tuple[str, ...]] = ()

    @property
    def published(self) -> str:
        """Name of the published data set that this is, by which its people's pseudonyms are salted; empty: of none."""
        return ""

    @abstractmethod
    def load(self, resolution: int) -> Dataset:
        """Everybody in it, photos cropped and resized to `resolution` pixels square.

        Raises:
            BenchError: the data is not there, or a file is not a photo.
        """


def dataset(
    name: str,
    licence: str,
    identities: list[Identity],
    wanted: tuple[str, ...],
    limit: int,
    strays: tuple[str, ...] = (),
) -> Dataset:
    """A `Dataset` with its fingerprint, and the identities that the run is about.

    Args:
        name: name of the data set.
        licence: what allows its use.
        identities: everybody.
        wanted: names to select, in order; empty means all.
        limit: select at most this many; 0 means all.
        strays: what was skipped and belongs to nobody.

    Raises:
        BenchError: a wanted identity is not there.
    """
    present, wanted = [person.name for person in identities], tuple(map(composed, wanted))
    for missing in (person for person in wanted if person not in present):
        raise unknown_name("identity", missing, present)
    selected = (wanted or tuple(present))[: limit or None]
    skipped = (*strays, *(line for person in identities for line in person.skipped))
    return Dataset(name, licence, tuple(identities), selected, fingerprint(identities), skipped)


def fingerprint(people: Sequence[Identity]) -> str:
    """Hash of all names and pixels."""
    return hash_of([[p.name, part, photo.name, photo.sha256] for p in people for part, photo in p.by_set()])


SOURCES: Registry[Source] = Registry(
    "data",
    "cloakbench.data",
    {
        "celebahq": "bench.data.prepared:CelebAHQ",
        "folder": "bench.data.folder:Folder",
        "lfw": "bench.data.prepared:LFW",
        "parquet": "bench.data.parquet:Parquet",
        "synthetic": "bench.data.synthetic:Synthetic",
        "vggface2": "bench.data.prepared:VGGFace2",
    },
)
