"""CloakBench from Python: cloak photos, measure a cloak, take a run's pictures out::

    import cloakbench

    for photo in cloakbench.cloak("photos/ada", defense="dladiff", budget=8):
        photo.image.save(f"{photo.name}.png")
    measured = cloakbench.evaluate(defense="dladiff", attack="instantid", data="synthetic")
    print(measured.summary())

Settings beyond those of a function's own are given as on the command line: `overrides=["defense.epochs=40", "seed=1"]`.
Nothing is printed, and nothing is logged unless a logger is asked for.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

from bench.core.paths import expanded

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa
    from PIL import Image

    from bench.results.record import Record
    from bench.runner.full_size import CloakedPhoto

    Picture = Image.Image | npt.NDArray[np.uint8]

DEMONSTRATION = (
    "Cloaked on the embedded model, which is a demonstration: such a cloak protects from no real one. "
    "For one that is meant to, choose a full-size base, as model=sd15."
)


def cloak(
    photos: Path | str | Picture | Iterable[Picture],
    defense: str = "dladiff",
    budget: float = 8,
    overrides: Sequence[str] = (),
    progress: Callable[[float], None] | None = None,
) -> list[CloakedPhoto]:
    """Cloak one person's photos, of any size; only the square around the face is changed.

    A cloak made on the embedded model, which is the default, is a demonstration and protects from no real model.

    Args:
        photos: a folder or a file, or PIL pictures or (h, w, 3) uint8 arrays, RGB.
        defense: name of a defense.
        budget: largest change, in grey levels of 255.
        overrides: further settings of a run, as on the command line.
        progress: called with the share done, in [0, 1].

    Returns:
        The cloaked photos in the order given, with what the cloak changed (see `CloakedPhoto`).

    Raises:
        BenchError: a setting, a photo without a face, or a photo that cannot be read.
    """
    from bench.models.diffusion.model_cache import Pool
    from bench.runner.full_size import cloak_person
    from bench.store import Store, default_root

    settings = settings_for(overrides, defense=defense, budget=budget)
    pool, store = Pool(settings.devices[0]), Store(default_root(settings.store))
    return cloak_person(_named(photos), settings, pool, store, progress=progress)


def evaluate(
    defense: str = "dladiff",
    attack: str = "instantid",
    data: str = "synthetic",
    overrides: Sequence[str] = (),
    out: Path | str | None = None,
) -> Evaluation:
    """Measure a cloak: what `python -m bench defense=... attack=... data=...` does, controls included.

    Args:
        defense, attack, data: names of methods and of a data set.
        overrides: further settings, as on the command line: `["budget=16", "data.limit=1"]`.
        out: folder of the run; by default `runs/<date>-<name>`. A run that is there is gone on with.

    Raises:
        BenchError: the settings, the data or a model file is wrong.
    """

    from bench.core.terminal import terminal
    from bench.runner.run import default_out, run

    place = {} if out is None else {"out": os.fspath(out)}
    settings = settings_for(overrides, defense=defense, attack=attack, data=data, **place)
    folder = Path(settings.out) if settings.out else default_out(settings)
    with Path(os.devnull).open("w") as nowhere:
        run(settings.model_copy(update={"out": str(folder)}), terminal(nowhere))
    return Evaluation(folder)


def export(run: Path | str, folder: Path | str) -> int:
    """Write a run's photos, cloaks and generated pictures as PNGs into folders that a person can read.

    Returns:
        How many pictures were written.

    Raises:
        BenchError: the run has no records, or the store no longer has its pictures.
    """
    from bench.report.picture_folders import write

    return write(expanded(run), expanded(folder))


@dataclass(frozen=True)
class Evaluation:
    """A run, done.

    Attributes:
        out: its folder.
    """

    out: Path

    @cached_property
    def cells(self) -> list[Record]:
        """A record for every cell, also for those that failed (`status`, `reason`)."""
        from bench.results.record import load_all

        return load_all(self.out)

    @cached_property
    def images(self) -> pa.Table:
        """One row per generated picture."""
        from bench.results.frames import load_images

        return load_images(self.out)

    @property
    def report(self) -> str:
        """`report.md`."""
        return (self.out / "report.md").read_text()

    def summary(self) -> Any:
        """One row per attack, arm and metric: mean over people, 95 % interval, tier and group.

        A pandas DataFrame if pandas is installed, else an Arrow table.
        """
        import pyarrow as pa

        from bench.report.analysis import RunAnalysis
        from bench.report.tables import entries

        rows = [vars(entry) for entry in entries(RunAnalysis(self.cells))]
        table = pa.Table.from_pylist(rows)
        try:
            return table.to_pandas()
        except ImportError:
            return table


def settings_for(overrides: Sequence[str], **chosen: Any) -> Any:
    """The settings of a run from a few choices and further overrides, which come last and win."""
    from bench.config.compose import settings_of

    first = [f"{key}={_quoted(value)}" for key, value in chosen.items()]
    return settings_of(["logger=none", *first, *overrides])


def read_photos(place: Path) -> dict[str, Image.Image]:
    """File name -> upright RGB photo, of one file or of all photos directly in a folder, in natural order.

    Raises:
        BenchError: there is no such place, or no photo in it, or one cannot be read.
    """
    from bench.core.errors import BenchError
    from bench.data.photo_files import scan
    from bench.data.photo_reader import read_image

    if place.is_file():
        return {place.name: read_image(place)}
    if not place.is_dir():
        raise BenchError(
            f"{place}: there is no such photo or folder.", "Give a photo, or a folder of photos of one person."
        )
    files = scan(place).photos
    if not files:
        raise BenchError(f"{place} holds no photos.", "Give the folder that has one person's photos directly in it.")
    return {file.name: read_image(file) for file in files}


def _quoted(value: Any) -> str:
    """A value as Hydra's command line takes it, whatever characters it has."""
    from hydra.core.override_parser.types import Quote, QuotedString

    plain = isinstance(value, int | float) or str(value).isidentifier()
    return str(value) if plain else str(QuotedString(str(value), Quote.single).with_quotes())


def _named(photos: Path | str | Picture | Iterable[Picture]) -> dict[str, Image.Image]:
    """Name -> upright RGB picture."""
    import numpy as np
    from PIL import Image

    if isinstance(photos, str | os.PathLike):
        return read_photos(expanded(photos))
    several = [photos] if isinstance(photos, np.ndarray | Image.Image) else list(photos)
    pictures = [Image.fromarray(p) if isinstance(p, np.ndarray) else p for p in several]
    return {f"{index:03d}": picture.convert("RGB") for index, picture in enumerate(pictures)}
