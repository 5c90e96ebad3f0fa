"""People from Parquet: any file, folder of files or hub data set with photos and who is on them."""

from __future__ import annotations

import io
from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from bench.core.errors import BenchError, unknown_name
from bench.core.names import composed
from bench.core.types import Dataset, Identity, Photo
from bench.data import dataset
from bench.data.crops import Cutter
from bench.data.people import MIN_CLEAN, MIN_FLAT, PeopleSource, counted, cut_sets, enough, in_thirds
from bench.data.photo_reader import read_image
from bench.models.weights.published import together


@dataclass(frozen=True)
class Parquet(PeopleSource):
    """A Parquet file (a folder of them, a hub data set) with the columns image, identity and optionally set.

    With `set` (A, B or C) the photos are split as it says; without, a person's first third is A, the second B, the rest
    C, in the order of the rows.

    Attributes:
        root: the file, the folder, or the hub data set's id; the latter must be in the hub's cache.
        split: of a hub data set.
        licence: what allows you to use the photos; copied into every record.

    The other settings are those of `PeopleSource`.
    """

    split: str = "train"
    licence: str = "unknown"

    @property
    def published(self) -> str:
        """The hub's id; of a file that lies here nobody knows who else has it."""
        return "" if Path(self.root).expanduser().exists() else self.root

    def everybody(self) -> Iterable[str]:
        """See `PeopleSource.everybody`."""
        rows = _rows(self.root, self.split)
        return {composed(str(name)) for name in rows["identity"]} if "identity" in rows.column_names else ()

    def load(self, resolution: int) -> Dataset:
        """See `Source.load`. A person with an unusable photo is kept, with the reason in `Identity.problem`."""
        rows = _rows(self.root, self.split)
        missing = [name for name in ("image", "identity") if name not in rows.column_names]
        if missing:
            raise BenchError(
                f"data.root={self.root} has no column {missing[0]!r}; it has {', '.join(rows.column_names)}.",
                "Name the columns image, identity and, if sets are chosen, set.",
            )
        names = [composed(str(name)) for name in rows["identity"]]
        sets = [str(part) for part in rows["set"]] if "set" in rows.column_names else None
        people: dict[str, dict[str, list[int]]] = {}
        for row, name in enumerate(names):
            people.setdefault(name, {}).setdefault(_set(sets[row], self.root) if sets else "", []).append(row)
        left, cutter = self.without_excluded(people), self.cutter(resolution)
        found = together(partial(self._identity, name, parts, rows, cutter) for name, parts in left.items())
        return dataset(Path(self.root).stem, self.licence, found, self.identities, self.limit)

    def _identity(self, name: str, parts: dict[str, list[int]], rows: Any, cutter: Cutter) -> Identity:
        sets = in_thirds(parts[""]) if "" in parts else {part: parts.get(part, []) for part in "ABC"}
        if not enough(sets):
            raise BenchError(
                f"{self.root}: {name} has too few photos ({counted(sets)}).",
                f"Everybody needs photos in A and B and at least {MIN_CLEAN} in A and C together, "
                f"or {MIN_FLAT} without sets.",
            )
        photos, problem = cut_sets(sets, lambda row: self._photo(row, name, rows, cutter))
        return Identity(name, photos["A"], photos["B"], photos["C"], problem)

    def _photo(self, row: int, person: str, rows: Any, cutter: Cutter) -> Photo:
        stored = rows[row]["image"]
        place = f"row {row} of {self.root} ({person})"
        if not isinstance(stored, dict) or not (stored.get("bytes") or stored.get("path")):
            raise BenchError(
                f"The column image holds no picture in {place}.", "Store pictures as datasets' Image feature."
            )
        source = io.BytesIO(stored["bytes"]) if stored.get("bytes") else _beside(self.root, stored["path"], place)
        return cutter.cut(read_image(source, place), f"{row:05d}.png", place)


def _rows(root: str, split: str) -> Any:
    """A `datasets.Dataset` whose pictures are not decoded yet."""
    try:
        import datasets
    except ImportError:
        raise BenchError("data=parquet needs the package datasets.", "Run: pip install 'cloakbench[data]'") from None
    path = Path(root).expanduser()
    if path.is_dir() and not any(path.glob("*.parquet")):
        raise BenchError(f"data.root={root} holds no Parquet files.", "For folders of photos, use data=folder.")
    if path.suffix == ".parquet" and not path.is_file():
        raise BenchError(f"data.root={root}: there is no such file.", "Give a Parquet file, or a folder of them.")
    if path.exists():
        files = sorted(map(str, path.glob("*.parquet"))) if path.is_dir() else [str(path)]
        found = datasets.Dataset.from_parquet(files)
    else:
        from huggingface_hub.errors import OfflineModeIsEnabled

        try:
            found = datasets.load_dataset(root, split=split)
        except (OSError, ValueError, OfflineModeIsEnabled) as error:
            raise BenchError(
                f"data.root={root} is no Parquet file, and no data set of the hub that can be read here ({error}).",
                "Give a file, a folder of files, or the id of a data set.",
            ) from error
    if "image" in found.column_names:
        found = found.cast_column("image", datasets.Image(decode=False))
    return found


def _beside(root: str, path: str, place: str) -> Path:
    """The file that a row names in place of bytes: with the data set, and never another one of this computer.

    Raises:
        BenchError: it is elsewhere.
    """
    import datasets

    given = Path(root).expanduser()
    folders = [given if given.is_dir() else given.parent]
    if not given.exists():  # of the hub: what its library has unpacked
        folders = [Path(datasets.config.HF_CACHE_HOME), Path(datasets.config.HF_DATASETS_CACHE)]
    file = (folders[0] / path).resolve()
    if not any(file.is_relative_to(folder.resolve()) for folder in folders):
        raise BenchError(
            f"{place} names a file that is not beside it.",
            "Store the pictures themselves, or put them into its folder.",
        )
    return file


def _set(name: str, root: str) -> str:
    part = name.upper().removeprefix("SET_")
    if part not in ("A", "B", "C"):
        raise unknown_name(f"set in {root}", name, ["A", "B", "C"])
    return part
