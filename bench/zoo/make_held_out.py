"""Write the people whom the first edition of the embedded models never saw, for boards made with it.

    python -m bench.zoo.make_held_out lfw_train.parquet lfw_eval.parquet held_out.parquet

Those of LFW in `held_out.json` with eight photos or more: two are the defender's own (set A), four are cloaked (B), and
two are for the judge besides (C). The second edition trains on most of them, so they are nothing for its boards.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.data.excerpt import first_photos, read_people, write_excerpt

HELD_OUT = Path(__file__).parent / "held_out.json"
SETS = "AABBBBCC"


def make(files: Sequence[str], out: Path) -> int:
    """Write the people who have enough photos in the files, and return how many they are.

    Raises:
        BenchError: a file cannot be read, or none of the people is in them.
    """
    table = read_people(files)
    rows = first_photos(table, json.loads(HELD_OUT.read_text())["lfw"], len(SETS))
    enough = {person: own for person, own in rows.items() if len(own) == len(SETS)}
    if not enough:
        raise BenchError(
            f"None of the people held out from LFW has {len(SETS)} photos in {', '.join(files)}.",
            "Give lfw_train.parquet and lfw_eval.parquet.",
        )
    write_excerpt(table, enough, out, SETS)
    return len(enough)


def main(arguments: Sequence[str]) -> int:
    """Write the file and say who is in it."""
    if len(arguments) < 2 or any(word.startswith("-") for word in arguments):
        print("usage: python -m bench.zoo.make_held_out <files of LFW...> <file to write>")
        return 2
    print(f"{make(arguments[:-1], Path(arguments[-1]))} people, {len(SETS)} photos each: {arguments[-1]}")
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
