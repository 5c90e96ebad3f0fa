"""Keep finished parts of the family in the repository, in half precision, so that no machine trains them again.

    python -m bench.zoo.train.keep work/zoo id-b vae

`bench.zoo.train.family` takes them from there as finished.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from omegaconf import OmegaConf

from bench.core.cli import guarded
from bench.core.errors import BenchError, unknown_name
from bench.zoo.train.halved import copy_halved
from bench.zoo.train.loop import FINAL

KEPT = Path("bench/zoo/parts/second")
PARTS = tuple(OmegaConf.load(Path(__file__).parent / "conf" / "family.yaml").parts)
"""Of the family."""


def keep(out: Path, names: Sequence[str], kept: Path = KEPT) -> None:
    """Copy the finished parts of these names.

    Raises:
        BenchError: there is no such part, or one is not finished; then none is copied.
    """
    for name in names:
        if name not in PARTS:
            raise unknown_name("part", name, PARTS)
    unfinished = [name for name in names if not (out / name / FINAL).is_dir()]
    if unfinished:
        raise BenchError(
            f"Not finished in {out}: {', '.join(unfinished)}.",
            f"Finish them first: python -m bench.zoo.train.family out={out} only=[{','.join(unfinished)}]",
        )
    for name in names:
        copy_halved(out / name / FINAL, kept / name)
        size = sum(file.stat().st_size for file in (kept / name).rglob("*") if file.is_file())
        print(f"{name}: {size / 1e6:.1f} MB in {kept / name}")


def main(arguments: Sequence[str]) -> int:
    """Keep what the command names."""
    if len(arguments) < 2 or any(word.startswith("-") for word in arguments):
        print("usage: python -m bench.zoo.train.keep <folder of a family in training> <part> [<part> ...]")
        return 2
    keep(Path(arguments[0]), arguments[1:])
    return 0


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
