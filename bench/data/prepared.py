"""Data sets with names, as `python -m bench.data.prepare` writes them."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, ClassVar

from bench.core.errors import BenchError
from bench.core.hashing import sha256_file
from bench.core.names import composed
from bench.core.types import Dataset
from bench.data.folder import Folder
from bench.data.people import PeopleSource
from bench.data.photo_files import place, scan_all
from bench.data.prepare import HEADER
from bench.data.upstream import ORIGINS


@dataclass(frozen=True)
class Prepared(PeopleSource):
    """A prepared data set. It has a licence of its own; the other settings are those of `PeopleSource`.

    Attributes:
        title: its name.
        root: the prepared folder; empty means data/<name>.
    """

    title: ClassVar[str]
    root: str = ""

    @property
    def published(self) -> str:
        """See `Source.published`."""
        return self.title

    def everybody(self) -> Iterable[str]:
        """See `PeopleSource.everybody`."""
        return Folder(str(self._root)).everybody()

    @property
    def _root(self) -> Path:
        return Path(self.root or f"data/{self.title}").expanduser()

    def load(self, resolution: int) -> Dataset:
        """See `Source.load`.

        Raises:
            BenchError: it is not prepared, has no licence, or a photo is missing, new or not as it was written.
        """
        root = self._root
        header = _header(root, self.title)
        there, listed = scan_all(root), {composed(file["file"]): file["sha256"] for file in header["files"]}
        photos = {place(photo, root): photo for photo in there.photos}
        for name, digest in listed.items():
            if name not in photos or sha256_file(photos[name]) != digest:
                raise BenchError(
                    f"{root / name} is missing or not as it was prepared.", f"Delete {root}. {_how(self.title)}"
                )
        for name in photos.keys() - listed.keys():
            raise BenchError(f"{root / name} is not of the data set as it was prepared.", "Move it elsewhere.")
        settings = {field.name: getattr(self, field.name) for field in dataclasses.fields(self)}
        folder = Folder(**{**settings, "root": str(root), "licence": header["licence"]})
        return dataclasses.replace(folder.load(resolution), name=header["name"])


def _header(root: Path, title: str) -> dict[str, Any]:
    if not (root / HEADER).is_file():
        origin = ORIGINS[title]
        raise BenchError(
            f"{title} is not prepared: there is no {root / HEADER}.",
            f"{_how(title)}\nIt takes {origin.size} from {origin.hub}, or your own copy. Licence: {origin.licence}.",
        )
    header: dict[str, Any] = json.loads((root / HEADER).read_text())
    if not str(header.get("licence", "")).strip():
        raise BenchError(
            f"{root / HEADER} states no licence.", "Photos without a licence are not used: state one there."
        )
    return header


def _how(title: str) -> str:
    return f"Run: python -m bench.data.prepare {title}"


@dataclass(frozen=True)
class CelebAHQ(Prepared):
    """People of CelebA-HQ, prepared by `python -m bench.data.prepare celebahq`."""

    title = "celebahq"


@dataclass(frozen=True)
class VGGFace2(Prepared):
    """People of VGGFace2, prepared by `python -m bench.data.prepare vggface2`."""

    title = "vggface2"


@dataclass(frozen=True)
class LFW(Prepared):
    """People of Labeled Faces in the Wild, prepared by `python -m bench.data.prepare lfw`."""

    title = "lfw"
