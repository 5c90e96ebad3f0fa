"""Is a folder laid out as a data set? `data.root` a level too deep or too high makes people of sets, or of data sets.

root/<person>/set_A|set_B|set_C/<photo>      or      root/<person>/<photo>
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from bench.core.errors import BenchError
from bench.data.photo_files import scan, subfolders

SETS = ("set_A", "set_B", "set_C")
EXPECTED = "Give the folder that holds one folder per person, each with set_A, set_B (and set_C), or just photos."


def set_of(name: str) -> str | None:
    """The set that a folder's name means ("set_B": B, setb, Set B); None if it means none."""
    letter = re.fullmatch(r"(?:set)?[\s_.-]*([abc])", name.strip().lower())
    return f"set_{letter[1].upper()}" if letter else None


def refuse_wrong_level(root: Path, folders: Mapping[str, Path]) -> None:
    """Refuse a root that is not the folder of all people.

    Args:
        root: as the user gave it.
        folders: those in it by name, without those that the user leaves out.

    Raises:
        BenchError: names the right one, if it can be told.
    """
    photos = len(scan(root).photos)
    if photos and _is_set(root.resolve().name):
        raise _wrong(root, f"is one set of photos of {root.resolve().parent.name}", _above(root, 2))
    if not folders and not photos:
        raise BenchError(f"data.root={root} holds no folders.", EXPECTED)
    if photos > len(folders):
        what = f"{photos} photo{'s' * (photos > 1)}"
        here = f"{what} beside {', '.join(folders)}" if folders else f"no folders, but {what}"
        raise _wrong(root, f"holds {here}: it seems to be one person's folder", _above(root, 1))
    if sets := [name for name in folders if _is_set(name)]:
        raise _wrong(root, f"holds {', '.join(sets)}: it is one person's folder", _above(root, 1))
    deeper = [name for name, folder in folders.items() if _holds_people(folder)]
    if folders and len(deeper) == len(folders):
        raise BenchError(
            f"data.root={root} is a level too high: there are no photos or sets in {', '.join(deeper[:3])}, but in the "
            "folders there.",
            f"Give {' or '.join(f'data.root={root / name}' for name in deeper[:3])}.",
        )


def sets_of(folder: Path) -> dict[str, Path]:
    """Set -> folder of a person; empty if the photos lie in the person's folder itself.

    Capitals make no difference.

    Raises:
        BenchError: a set has another name, or A or B is missing.
    """
    inside = subfolders(folder)
    sets = {meant: path for name, path in inside.items() if (meant := set_of(name)) and meant.lower() == name.lower()}
    other = {name: meant for name in inside if (meant := set_of(name)) and meant not in sets}
    if other:
        raise BenchError(
            f"{folder}: {', '.join(other)} would be ignored: sets are called {', '.join(SETS)}.",
            f"Rename {', '.join(f'{name} to {meant}' for name, meant in other.items())}.",
        )
    lacking = [name for name in SETS[:2] if name not in sets]
    if sets and lacking:
        raise BenchError(
            f"{folder} has too few photos: there is {' and '.join(sets)}, but no {' and no '.join(lacking)}.",
            "set_A holds clean photos to compare with, set_B those to cloak, set_C (optional) more clean ones. "
            "Or put all photos into the person's folder itself.",
        )
    return sets


def _holds_people(folder: Path) -> bool:
    """Whether a folder has no photos and no sets, but folders that have."""
    inside = subfolders(folder)
    if scan(folder).photos or any(set_of(name) for name in inside):
        return False
    return any(scan(path).photos or any(map(set_of, subfolders(path))) for path in inside.values())


def _is_set(name: str) -> bool:
    """Whether a folder is a set; one called A may be a person, too."""
    return len(name) > 1 and set_of(name) is not None


def _above(root: Path, levels: int) -> Path:
    """The folder so many levels above, relative as the root is if that can be said."""
    return (root if ".." not in root.parts and len(root.parents) >= levels else root.resolve()).parents[levels - 1]


def _wrong(root: Path, what: str, right: Path) -> BenchError:
    return BenchError(
        f"data.root={root} {what}.", f"Give the folder that holds one folder per person: data.root={right}."
    )
