"""Where the data sets with names come from, under which licence, and how their photos are read.

None of them is shipped or fetched unasked: `python -m bench.data.prepare` reads the hub or a local copy.
"""

from __future__ import annotations

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow.parquet as pq
from PIL import Image

from bench.core.errors import BenchError
from bench.core.names import composed
from bench.data.photo_files import files_below, place, scan_all
from bench.data.photo_reader import read_image


@dataclass(frozen=True)
class Origin:
    """A published data set of faces.

    Attributes:
        hub: data set on the hub that holds it, or the part of it that papers use.
        size: of the download.
        splits: set (A, B, C) -> split of the hub's data set, where somebody has chosen the sets already; or "" -> the
            split to choose from.
        image, identity: columns.
        licence: what allows its use, and what it forbids.
        smallest: shorter side that a photo must have, pixels.
    """

    hub: str
    size: str
    splits: dict[str, str]
    image: str
    identity: str
    licence: str
    smallest: int = 500


PARQUET = ".parquet"
PARTS = {f"set_{part}": part for part in "ABC"}
"""Names of folders that are a person's sets."""
METACLOAK = "yixin/metacloak_celeba_vggface2"
"""MetaCloak's choice of people and photos in Anti-DreamBooth's way: 4 to protect and 4 others of each, 512 px."""
ORIGINS = {
    "celebahq": Origin(
        METACLOAK,
        "13 MB",
        {"A": "celeba_eval", "B": "celeba_gen"},
        "image",
        "instance_name",
        "CelebA (agreement of MMLAB) and CelebA-HQ (CC BY-NC 4.0): non-commercial research only, photos must not be "
        "passed on",
    ),
    "vggface2": Origin(
        METACLOAK,
        "123 MB",
        {"A": "vggface2_eval", "B": "vggface2_gen"},
        "image",
        "instance_name",
        "VGGFace2 (CC BY-NC 4.0): non-commercial research only; the photos belong to others, and the authors have "
        "taken the data set down",
    ),
    "lfw": Origin(
        "logasja/lfw",
        "188 MB",
        {"": "train"},
        "image",
        "label",
        "Labeled Faces in the Wild: research only; the photos belong to news agencies",
        smallest=250,
    ),
}
"""By name. On the hub, CelebA-HQ has no names of people, and VGGFace2 as a whole is 40 GB: hence MetaCloak's choice."""


@dataclass(frozen=True)
class Found:
    """A photo before it is chosen: whose, where it came from, its set if somebody has chosen it, and its bytes."""

    identity: str
    place: str
    part: str
    source: Path | bytes | None

    def open(self) -> Image.Image:
        """The photo, upright and RGB.

        Raises:
            BenchError: it is not a picture.
        """
        if not isinstance(self.source, Path | bytes):  # a table of strangers may have anything in its column
            raise BenchError(
                f"{self.place} holds no picture.", "Store pictures as datasets' Image feature, with bytes."
            )
        return read_image(self.source if isinstance(self.source, Path) else io.BytesIO(self.source), self.place)


People = dict[str, list[Found]]
"""Photos by person, both in an order that depends on names alone."""
Tell = Callable[[str], None]
"""Called with what is skipped, and why."""


def unheard(line: str) -> None:
    """Tell nobody."""


def from_hub(origin: Origin, revision: str | None) -> People:
    """All photos of a data set on the hub; downloads it.

    Raises:
        BenchError: `datasets` is not installed, or the hub does not answer or has no such columns.
    """
    return grouped(row for part, split in origin.splits.items() for row in _hub(origin, split, revision, part))


def from_parquet(folder: Path, origin: Origin) -> People:
    """All photos of the Parquet files of a folder, with the columns that the data set has on the hub.

    Files named as the hub's splits are their sets, and then the others are another data set's.
    """
    files = {file: _part(file.name, origin) for file in files_below(folder) if file.suffix.lower() == PARQUET}
    chosen = {file: part for file, part in files.items() if part} or files
    return grouped(row for file, part in chosen.items() for row in _parquet(file, origin, part))


def _part(file: str, origin: Origin) -> str:
    return next((part for part, split in origin.splits.items() if file.startswith(split)), "")


def from_folder(folder: Path, names: dict[str, str], tell: Tell = unheard) -> People:
    """All photos of a folder: a folder a person, perhaps with set_A, set_B and set_C, or all in one and a table.

    Args:
        folder: holds the photos.
        names: file, with or without its suffix -> person, the table; empty if the folders say so.
        tell: called with what is no photo, or nobody's.
    """
    rows, files = [], scan_all(folder)
    for skipped in files.skipped:
        tell(f"{place(skipped.path, folder)} {skipped.reason}")
    for file in files.photos:
        above, part = file.parent, ""
        if above.name in PARTS:
            above, part = above.parent, PARTS[above.name]
        if names:
            person = names.get(composed(file.name)) or names.get(composed(file.stem), "")
        else:
            person = composed(above.name) if above != folder else ""
        if person:
            rows.append(Found(person, place(file, folder), part, file))
        else:
            tell(f"{place(file, folder)} belongs to nobody")
    return grouped(rows)


def names_of(identities: Path, mapping: Path | None) -> dict[str, str]:
    """Who is on which file, from CelebA's `identity_CelebA.txt`, or any table "file person".

    Args:
        identities: the table.
        mapping: CelebA-HQ's `CelebA-HQ-to-CelebA-mapping.txt` ("idx orig_idx orig_file"): CelebA-HQ numbers its photos
            anew.
    """
    table = [line.split() for line in identities.read_text(encoding="utf-8").splitlines() if line.strip()]
    people = {composed(row[0]): composed(row[-1]) for row in table if len(row) >= 2}
    if mapping is None:
        return people
    moved = [line.split() for line in mapping.read_text(encoding="utf-8").splitlines()[1:] if line.strip()]
    return {row[0]: people[row[-1]] for row in moved if row[-1] in people}


def grouped(rows: Iterable[Found]) -> People:
    """By person, in the order of their names and places."""
    found: People = defaultdict(list)
    for row in sorted(rows, key=lambda row: (row.identity, row.part, row.place)):
        found[row.identity].append(row)
    return dict(found)


def _hub(origin: Origin, split: str, revision: str | None, part: str) -> Iterator[Found]:
    try:
        import datasets
    except ImportError as error:
        raise BenchError(
            "The hub's data sets need the package datasets.", "Run: pip install 'cloakbench[data]'"
        ) from error
    try:
        once = datasets.DownloadConfig(max_retries=1)
        table = datasets.load_dataset(origin.hub, split=split, revision=revision, download_config=once)
    except Exception as error:  # the hub's client raises a dozen unrelated types
        raise BenchError(
            f"{origin.hub} (split {split}) could not be loaded: {type(error).__name__}.",
            "Check the connection, or give a copy on this machine: --source <folder>.",
        ) from error
    where = f"{origin.hub}/{split}"
    _check(table.column_names, origin, where)
    label, raw = table.features[origin.identity], table.cast_column(origin.image, datasets.Image(decode=False))
    for number, row in enumerate(raw):
        person = label.int2str(row[origin.identity]) if hasattr(label, "int2str") else str(row[origin.identity])
        yield Found(composed(person), f"{where}/{number:06}", part, row[origin.image]["bytes"])


def _parquet(file: Path, origin: Origin, part: str) -> Iterator[Found]:
    """Without the hub's library, which would keep a copy of the photos."""
    with pq.ParquetFile(file) as table:
        _check(table.schema_arrow.names, origin, file.name)
        number = 0
        for batch in table.iter_batches(64, columns=[origin.image, origin.identity]):
            for row in batch.to_pylist():
                image = row[origin.image]
                content = image.get("bytes") if isinstance(image, dict) else image
                yield Found(composed(str(row[origin.identity])), f"{file.name}/{number:06}", part, content)
                number += 1


def _check(columns: Sequence[str], origin: Origin, where: str) -> None:
    for column in (origin.image, origin.identity):
        if column not in columns:
            raise BenchError(
                f"{where} has no column {column!r}, but {', '.join(columns)}.",
                "Name the right ones: --image-column and --identity-column.",
            )
