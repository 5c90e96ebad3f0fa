"""Prepare a data set with a name for the benchmark: choose people and photos, and write what was chosen.

    python -m bench.data.prepare vggface2                           from the hub (see its licence with --help)
    python -m bench.data.prepare vggface2 --source <folder>         from your own copy: one folder a person, or Parquet
    python -m bench.data.prepare celebahq --source <folder of CelebA-HQ> --identities identity_CelebA.txt \\
        --mapping CelebA-HQ-to-CelebA-mapping.txt

As Anti-DreamBooth did: photos of at least 500 px that show exactly one face; people with enough of them; four photos
for each of the sets A (reference), B (to protect) and C (others), cut to the centre and resized to 512 px. Where the
sets are chosen already, as on the hub, they are kept. The same source and settings give the same files.
"""

from __future__ import annotations

import dataclasses
import json
import shutil
import sys
from argparse import ArgumentParser, Namespace, RawDescriptionHelpFormatter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Annotated

import numpy as np

from bench.core.cli import guarded, ranged
from bench.core.errors import BenchError, reason_of
from bench.core.file_names import inside, is_file_name
from bench.core.hashing import sha256_file
from bench.core.images import crop_centre, png_bytes, resize
from bench.core.paths import expanded
from bench.core.ranges import Count, Range, Several
from bench.core.registry import hints
from bench.core.types import Pixels
from bench.data.photo_files import files_below
from bench.data.upstream import (
    ORIGINS,
    PARQUET,
    Found,
    Origin,
    People,
    Tell,
    from_folder,
    from_hub,
    from_parquet,
    names_of,
    unheard,
)

HEADER = "dataset.json"
"""In the prepared folder: name, licence, origin, settings, the hash of every photo, and what could not be read."""
SETS = ("A", "B", "C")
NAMED = 20
"""Skipped files that the console names."""


@dataclasses.dataclass(frozen=True)
class Choice:
    """Which people and photos are taken.

    Attributes:
        people: at most so many; 0 takes all that qualify.
        photos: of each person in each set.
        smallest: shorter side that a photo must have, pixels; None: the data set's own.
        side: of the written photos, pixels.
        seed: of the order in which people and photos are looked at.
    """

    people: Several = 50
    photos: Count = 4
    smallest: Annotated[int, Range(ge=1, unit="pixels")] | None = None
    side: Annotated[int, Range(ge=8, le=4096, unit="pixels")] = 512
    seed: Several = 0


def choose(
    found: People, choice: Choice, tell: Tell = unheard
) -> Iterator[tuple[str, dict[str, list[tuple[Found, Pixels]]]]]:
    """The people who qualify, one after another, with the photos of their sets."""
    random = np.random.default_rng(choice.seed)
    taken = 0
    for index in random.permutation(len(found)):
        name = list(found)[index]
        if not is_file_name(name):  # "../../x" in a table would be written there
            tell(f"{name!r} cannot be the name of a folder")
            continue
        photos = [found[name][i] for i in random.permutation(len(found[name]))]
        if any(photo.part for photo in photos):
            sets = {part: _usable([p for p in photos if p.part == part], choice.photos, choice, tell) for part in SETS}
            complete = all(len(sets[part]) == choice.photos for part in SETS if any(p.part == part for p in photos))
        else:
            usable = _usable(photos, 3 * choice.photos, choice, tell)
            sets = {part: usable[i * choice.photos : (i + 1) * choice.photos] for i, part in enumerate(SETS)}
            complete = len(usable) == 3 * choice.photos
        if complete:
            yield name, sets
            taken += 1
            if taken == choice.people:
                return


def _usable(photos: Sequence[Found], wanted: int, choice: Choice, tell: Tell) -> list[tuple[Found, Pixels]]:
    """The first so many that are large enough and show exactly one face."""
    from bench.models.faces.dlib_recogniser import find_boxes

    kept: list[tuple[Found, Pixels]] = []
    for photo in photos if len(photos) >= wanted else ():
        try:
            image = photo.open()
            square = crop_centre(image)
            if min(image.size) >= (choice.smallest or 0) and len(find_boxes(square)) == 1:
                kept.append((photo, resize(square, choice.side)))
        except BenchError as error:  # what is no picture is no photo; there are others
            tell(error.message)
        except Exception as error:  # nor does one that the finder chokes on end the work on all the others
            tell(f"{photo.place} cannot be used ({reason_of(error)})")
        if len(kept) == wanted:
            break
    return kept


def write(
    out: Path, name: str, licence: str, origin: str, found: People, choice: Choice, skipped: Sequence[str] = ()
) -> int:
    """Write the chosen photos and the header; nothing is left of a preparation that was broken off.

    `skipped` is what was no photo from the beginning; the header names it, with what turns out to be none.

    Returns:
        How many people there are.

    Raises:
        BenchError: the folder is there already, there is no licence, or nobody qualifies.
    """
    if out.exists():
        raise BenchError(f"{out} is there already.", "Delete it to prepare the data set again, or give another --out.")
    if not licence.strip():
        raise BenchError("A data set needs a licence.", "State what allows you to use the photos: --licence.")
    partial = out.with_name(f"{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    files, people, unread = [], 0, [*skipped]

    def tell(line: str) -> None:
        print(f"Skipped: {line}")
        unread.append(line)

    for person, sets in choose(found, choice, tell):
        people += 1
        for part, photos in sets.items():
            width = max(2, len(str(len(photos) - 1)))
            for number, (photo, pixels) in enumerate(photos):
                file = inside(partial, person, f"set_{part}", f"{number:0{width}}.png")
                file.parent.mkdir(parents=True, exist_ok=True)
                file.write_bytes(png_bytes(pixels))
                place = file.relative_to(partial).as_posix()
                files.append({"file": place, "sha256": sha256_file(file), "source": photo.place})
    if not people:
        raise BenchError(
            f"None of {len(found)} people has enough photos of {choice.smallest} px with exactly one face.",
            "Lower --smallest or --photos.",
        )
    header = {"name": name, "licence": licence, "origin": origin, "choice": dataclasses.asdict(choice), "files": files}
    header |= {"skipped": unread} if unread else {}
    (partial / HEADER).write_text(json.dumps(header, indent=1) + "\n")
    partial.rename(out)
    return people


def read(name: str, origin: Origin, options: Namespace, tell: Tell) -> tuple[People, str]:
    """All photos of a source, and what to call it; `tell` hears of what is no photo."""
    columns = {"image": options.image_column, "identity": options.identity_column}
    origin = dataclasses.replace(origin, **{key: value for key, value in columns.items() if value})
    if options.source is None:
        return from_hub(origin, options.revision), f"{origin.hub} at {options.revision or 'main'}"
    if not options.source.is_dir():
        raise BenchError(f"There is no folder {options.source}.", "Give the folder of your copy: --source.")
    if any(file.suffix.lower() == PARQUET for file in files_below(options.source)):
        return from_parquet(options.source, origin), f"Parquet files of {name}"
    names = names_of(options.identities, options.mapping) if options.identities else {}
    return from_folder(options.source, names, tell), f"a copy of {name}"


def main(arguments: Sequence[str]) -> int:
    """Prepare one data set."""
    parser = ArgumentParser("bench.data.prepare", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("name", choices=ORIGINS)
    parser.add_argument("--source", type=expanded, help="folder of your own copy; default: the hub")
    parser.add_argument("--revision", help="commit of the hub's data set")
    parser.add_argument("--out", type=expanded, help="default: data/<name>")
    parser.add_argument("--licence", help="default: the data set's own")
    parser.add_argument("--identities", type=expanded, help="table of file and person, where folders do not say it")
    parser.add_argument("--mapping", type=expanded, help="CelebA-HQ's numbers and CelebA's files")
    parser.add_argument("--image-column", help="of Parquet files and data sets on the hub")
    parser.add_argument("--identity-column", help="the same")
    kinds = hints(Choice)
    for field in dataclasses.fields(Choice):
        kind, said = ranged(kinds[field.name]), f"default: {field.default}"
        parser.add_argument(f"--{field.name}", type=kind, default=field.default, help=said)
    parser.epilog = "\n".join(f"{name}: {o.hub}, {o.size}. {o.licence}." for name, o in ORIGINS.items())
    options = parser.parse_args(arguments)
    origin = ORIGINS[options.name]
    out = options.out or Path("data") / options.name
    choice = Choice(**{field.name: getattr(options, field.name) for field in dataclasses.fields(Choice)})
    if choice.smallest is None:
        choice = dataclasses.replace(choice, smallest=origin.smallest)
    licence = origin.licence if options.licence is None else options.licence
    print(f"{options.name}: {licence}.")
    skipped: list[str] = []
    found, place = read(options.name, origin, options, skipped.append)
    for line in skipped[:NAMED]:
        print(f"Skipped: {line}")
    if len(skipped) > NAMED:
        print(f"... and {len(skipped) - NAMED} more; {out / HEADER} names all.")
    people = write(out, options.name, licence, place, found, choice, skipped)
    where = f" data.root={out}" if options.out else ""
    print(f"{people} of {len(found)} people in {out}. Run: python -m bench data={options.name}{where}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
