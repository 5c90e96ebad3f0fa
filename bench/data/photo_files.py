"""The photos in folders: one scanner, so that all who read photos agree on what is one, and in which order.

- By name, numbers by their value (9.jpg before 10.jpg), names in Unicode's composed form.
- What systems leave behind (hidden files, Thumbs.db, __MACOSX) is passed over without a word.
- Links are followed, to files and to folders; what is reached a second time is not taken a second time.
- Everything else that is no photo is named in `Scan.skipped`.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.core.errors import BenchError
from bench.core.litter import is_litter
from bench.core.names import composed, natural
from bench.data.photo_reader import is_picture

SUFFIXES = (
    *(".jpg", ".jpeg", ".jpe", ".jfif", ".mpo", ".png", ".apng", ".webp", ".heic", ".heif", ".hif", ".avif", ".gif"),
    *(".tif", ".tiff", ".bmp", ".jp2", ".j2k", ".jpf", ".jpx", ".ppm", ".pgm", ".pnm"),
)
"""In lower case: what is a photo by its name, so that a damaged one is an error. Others are by their content."""
OTHER_PICTURES = (
    *(".dng", ".cr2", ".cr3", ".crw", ".nef", ".nrw", ".arw", ".sr2", ".orf", ".raf", ".rw2", ".pef", ".srw", ".x3f"),
    *(".raw", ".psd", ".psb", ".xcf", ".kra", ".svg", ".eps", ".ai", ".ico", ".icns", ".tga", ".exr", ".hdr", ".jxl"),
    *(".jxr", ".qoi", ".heics", ".avifs", ".dds", ".pcx"),
)
"""Pictures that are not read: cameras' raw files, and what programs for drawing write."""


@dataclass(frozen=True)
class Skipped:
    """Something that is no photo.

    Attributes:
        path: where it is.
        reason: why it is none, to be read after the path: "is not a photo".
        lost: whether it seems to be one all the same, so that somebody would miss it.
    """

    path: Path
    reason: str
    lost: bool = False


@dataclass(frozen=True)
class Scan:
    """What is in a folder: its photos in order, and what is none."""

    photos: tuple[Path, ...]
    skipped: tuple[Skipped, ...]

    def complete(self, root: Path) -> tuple[Path, ...]:
        """The photos, if no picture was skipped: without it, the others would move into its place.

        Args:
            root: the folder to which messages relate.

        Raises:
            BenchError: names all that cannot be read.
        """
        lost = [f"{place(file.path, root)} {file.reason}" for file in self.skipped if file.lost]
        if lost:
            raise BenchError(
                f"Not every picture in {root} can be read: {'; '.join(lost)}.",
                "Save them as JPEG or PNG, or move them away: which photos are in which set depends on all of them.",
            )
        return self.photos


def entries(folder: Path) -> dict[str, Path]:
    """Composed name -> path of all in a folder but litter, in natural order.

    Raises:
        BenchError: two names are one to a person, or to a system that does not tell them apart.
    """
    found: dict[str, Path] = {}
    same: dict[str, Path] = {}
    for path in sorted(folder.iterdir(), key=lambda path: natural(path.name)):
        if path.name.startswith(".") or is_litter(path.name):
            continue
        name = composed(path.name)
        if (other := same.setdefault(name.casefold(), path)) is not path:
            how = "in the form of their accents" if composed(other.name) == name else "in upper and lower case"
            raise BenchError(
                f"{folder} holds {other.name!r} and {path.name!r}, which differ {how} alone.",
                "Rename one, or keep one: other systems take them for the same.",
            )
        found[name] = path
    return found


def subfolders(folder: Path) -> dict[str, Path]:
    """Composed name -> path of the folders in a folder, those behind links too, in natural order.

    Raises:
        BenchError: two of them are one, by name or by a link.
    """
    found = {name: path for name, path in entries(folder).items() if path.is_dir()}
    real: dict[Path, str] = {}
    for name, path in found.items():
        if (other := real.setdefault(path.resolve(), name)) != name:
            raise BenchError(f"{folder}/{name} and {folder}/{other} are the same folder.", "Remove the link to it.")
    return found


def scan(folder: Path) -> Scan:
    """The photos directly in a folder."""
    return _sorted_out(entries(folder).values())


def scan_all(folder: Path) -> Scan:
    """The photos in a folder and in those below it."""
    return _sorted_out(files_below(folder))


def files_below(folder: Path) -> Iterator[Path]:
    """All files in a folder and below but litter, in natural order; also behind links, but every folder once."""
    return _walk(folder, set())


def place(path: Path, root: Path) -> str:
    """Where a file is in a folder, with slashes and composed letters."""
    return composed(path.relative_to(root).as_posix() if path.is_relative_to(root) else str(path))


def _walk(folder: Path, seen: set[Path]) -> Iterator[Path]:
    if folder.resolve() in seen:
        return
    seen.add(folder.resolve())
    for path in entries(folder).values():
        if path.is_dir():
            yield from _walk(path, seen)
        else:
            yield path


def _sorted_out(paths: Iterable[Path]) -> Scan:
    photos: dict[Path, Path] = {}
    skipped = []
    for path in paths:
        problem = _problem(path)
        if problem is None and (first := photos.setdefault(path.resolve(), path)) is not path:
            problem = Skipped(path, f"is the same file as {first.name}")
        if problem is not None:
            skipped.append(problem)
    return Scan(tuple(photos.values()), tuple(skipped))


def _problem(path: Path) -> Skipped | None:
    """Why a path is no photo, or nothing."""
    suffix = path.suffix.lower()
    if path.is_dir():
        return Skipped(path, "is a folder, where none is expected")
    if path.is_symlink() and not path.exists():
        return Skipped(path, "is a link to nothing", lost=suffix in SUFFIXES)
    if not path.is_file():
        return Skipped(path, "is no plain file")
    if suffix in OTHER_PICTURES:
        return Skipped(path, f"is a kind of picture that is not read ({suffix})", lost=True)
    if suffix in SUFFIXES or is_picture(path):
        return None
    return Skipped(path, "is not a photo")
