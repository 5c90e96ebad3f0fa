"""Take pictures out of a run, or the crops that another tool should cloak.

    python -m bench.export runs/x -o pictures/
    python -m bench.export --crops -o crops/ data=folder data.root=photos

The first writes `<person>/<arm>/photo/`, `cloaked/`, `change x8/` (the change times eight, around grey) and
`generated/<attack>/`. The second writes what the benchmark cloaks, as `<person>/<photo>.png`: change these files with
any tool, keep their names and sizes, and measure them with `defense=precomputed defense.root=crops defense.label=mine`.
"""

from __future__ import annotations

import sys
from argparse import ArgumentParser, RawDescriptionHelpFormatter
from collections.abc import Sequence
from pathlib import Path

from bench.api import export, settings_for
from bench.core.cli import callable_module, guarded
from bench.core.errors import BenchError
from bench.core.paths import expanded


def main(arguments: Sequence[str]) -> int:
    """Write the pictures and say how many."""
    parser = ArgumentParser("python -m bench.export", description=__doc__, formatter_class=RawDescriptionHelpFormatter)
    parser.add_argument("words", nargs="*", metavar="run | key=value", help="a run's folder; with --crops, settings")
    parser.add_argument("-o", "--out", type=expanded, required=True, help="where the pictures go")
    parser.add_argument("--crops", action="store_true", help="write the photos that the benchmark cloaks")
    told = parser.parse_intermixed_args(arguments)
    if told.crops:
        count = write_crops(told.words, told.out)
    elif len(told.words) == 1 and "=" not in told.words[0]:
        count = export(expanded(told.words[0]), told.out)
    else:
        raise BenchError("Give one run's folder, or --crops and settings.", "See python -m bench.export --help.")
    print(f"{count} pictures in {told.out}")
    return 0


def write_crops(words: Sequence[str], folder: Path) -> int:
    """Write the square crops of set B, at the base's resolution, that every defense is given.

    Raises:
        BenchError: the settings or the data are wrong, or a person's or a photo's name cannot be that of a file.
    """
    from bench.core.file_names import inside
    from bench.core.images import png_bytes
    from bench.data.pseudonyms import legend
    from bench.runner.plan import load_data

    data = load_data(settings_for(words))
    if called := legend(data, len(data.selected)):
        print(called)
    people = [person for person in data.identities if person.name in data.selected]
    for person in people:
        for photo in person.protect:
            file = inside(folder, person.name, f"{Path(photo.name).stem}.png")
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(png_bytes(photo.pixels))
    return sum(len(person.protect) for person in people)


callable_module(__name__, export)

if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
