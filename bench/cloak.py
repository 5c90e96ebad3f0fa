"""Cloak your own photos, of any size: only the square around the face is changed.

    python -m bench.cloak photos/ -o cloaked/ defense=dladiff budget=8
    python -m bench.cloak photos/me.jpg -o cloaked/ defense=aspl defense.steps=50

Each folder is taken for one person, and so is each folder below it. Photos keep their names, places and sizes, and are
saved as PNG, since JPEG would change the cloak. Photos without a face are named and not written. Further settings are
those of `python -m bench`: model=, surrogates=, seed=, device=, store=, plugins=.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.table import Table

from bench import api
from bench.api import DEMONSTRATION, read_photos, settings_for
from bench.core.cli import callable_module, guarded
from bench.core.errors import BenchError
from bench.core.paths import expanded
from bench.core.terminal import terminal

if TYPE_CHECKING:
    from bench.runner.full_size import CloakedPhoto


def main(arguments: Sequence[str]) -> int:
    """Cloak, save, and say what it cost."""
    parser = ArgumentParser("python -m bench.cloak", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("photos", type=expanded, help="a photo, or a folder of photos of one person")
    parser.add_argument("-o", "--out", type=expanded, required=True, help="where the cloaked photos go")
    parser.add_argument("settings", nargs="*", metavar="key=value", help="as of python -m bench; default: dladiff at 8")
    told = parser.parse_intermixed_args(arguments)
    settings, console = settings_for(told.settings), terminal()

    from bench.models.diffusion.model_cache import Pool
    from bench.runner.full_size import cloak_person, square_of
    from bench.store import Store, default_root

    if settings.defense.name == "none":
        raise BenchError("defense=none makes no cloak.", "python -m bench.list defenses shows them.")
    photos, out = told.photos, told.out
    pool, store = Pool(settings.devices[0]), Store(default_root(settings.store))
    faceless: list[Path] = []
    table = Table("photo", "pixels", "Linf", "PSNR", "s")
    columns = TextColumn("{task.description}", markup=False), BarColumn(), TaskProgressColumn(), TimeRemainingColumn()
    with Progress(*columns, console=console, transient=True, disable=not console.is_terminal) as bar:
        for folder in folders(photos):
            images = read_photos(photos if photos.is_file() else folder)
            task = bar.add_task(str(folder), total=1.0)
            with_face = {name: image for name, image in images.items() if square_of(image)}
            faceless += [folder / name for name in images if name not in with_face]
            _refuse_twins(with_face, folder)
            if with_face:
                place = out / folder.relative_to(photos if photos.is_dir() else folder)
                place.mkdir(parents=True, exist_ok=True)
                cloaked = cloak_person(
                    with_face,
                    settings,
                    pool,
                    store,
                    folder.name,
                    lambda share: bar.update(task, completed=share),  # noqa: B023
                )
                for photo in cloaked:
                    photo.image.save(place / f"{Path(photo.name).stem}.png")
                    table.add_row(*_line(photo, place / f"{Path(photo.name).stem}.png"))
            bar.update(task, completed=1.0)
    console.print(table)
    if settings.model.family == "facelet":
        console.print(DEMONSTRATION, highlight=False, soft_wrap=True)
    for file in faceless:
        console.print(f"No face found, not written: {file}", highlight=False, soft_wrap=True)
    return 1 if faceless else 0


def folders(place: Path) -> Iterator[Path]:
    """The folder of a photo, or a folder and all below it that hold photos."""
    from bench.data.photo_files import scan, subfolders

    if not place.is_dir():
        yield place.parent
        return
    below = list(subfolders(place).values())
    if scan(place).photos or not below:
        yield place
    for folder in below:
        yield from folders(folder)


def _refuse_twins(names: Iterable[str], folder: Path) -> None:
    """Raises BenchError if two photos would be saved under one name."""
    stems: dict[str, str] = {}
    for name in names:
        first = stems.setdefault(Path(name).stem.casefold(), name)
        if first != name:
            raise BenchError(
                f"{folder} holds {first} and {name}, which would both be saved as {Path(name).stem}.png.", "Rename one."
            )


def _line(photo: CloakedPhoto, file: Path) -> tuple[str, ...]:
    width, height = photo.image.size
    return str(file), f"{width} x {height}", str(photo.linf), f"{photo.psnr:.1f}", f"{photo.seconds:.1f}"


callable_module(__name__, api.cloak)

if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
