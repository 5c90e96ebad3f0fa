"""What is in a store: every output with its size, its age and its state."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from bench.store import META, Store, is_whole, read_meta

State = Literal["whole", "discarded", "damaged", "unfinished"]
"""`discarded`: only its cost is left, as for personalised weights after use. `unfinished`: left by a process that died,
or in the making."""


@dataclass(frozen=True)
class Item:
    """One output.

    Attributes:
        stage, key: what it is.
        path: its folder.
        size: bytes of its files.
        made: when, in seconds of the epoch.
        seconds: what it took to make; 0 if that is not known.
        files: hashes by name; None without a readable meta.json.
        people: from whose photos it comes; empty if from nobody's, or if that is not known.
    """

    stage: str
    key: str
    path: Path
    size: int
    made: float
    seconds: float
    files: dict[str, str] | None
    people: tuple[str, ...] = ()

    @property
    def unfinished(self) -> bool:
        """Whether it never came to be."""
        return self.path.suffix == ".partial"

    def state(self) -> State:
        """Whether all its files are as they were made; reads all of them."""
        if self.unfinished:
            return "unfinished"
        if self.files is None:
            return "damaged"
        if self.files and not any((self.path / name).is_file() for name in self.files):
            return "discarded"
        return "whole" if is_whole(self.path, self.files) else "damaged"


def items(store: Store) -> Iterator[Item]:
    """Every output, stage by stage; what disappears meanwhile is left out."""
    for path in sorted(store.root.glob("*/??/*")):
        if path.is_dir() and not path.is_symlink():
            try:
                yield _item(path)
            except FileNotFoundError:
                continue


def _item(path: Path) -> Item:
    meta = read_meta(path)
    made = (path / META).stat().st_mtime if meta else path.stat().st_mtime
    size = sum(file.stat().st_size for file in path.rglob("*") if file.is_file())
    return Item(
        stage=path.parents[1].name,
        key=path.name.removesuffix(".partial"),
        path=path,
        size=size,
        made=made,
        seconds=meta.cost.seconds if meta else 0.0,
        files=meta.files if meta else None,
        people=meta.people if meta else (),
    )
