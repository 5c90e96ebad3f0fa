"""Get the published weights that a run needs and that are not on this machine.

    python -m bench.fetch model=sdxl attack=instantid                 # any settings of python -m bench
    python -m bench.fetch model=sdxl attack=instantid dry_run=true    # only say what, from where, how large

The only command that downloads weights. Models and adapters go to the hub's own cache, and what was broken off goes on
where it stopped; every file is compared with the hash that the hub states. Commits of the hub, and sizes and hashes of
insightface's archives, are in `bench.models.weights.published`. Nothing here needs torch.
"""

from __future__ import annotations

import contextlib
import shutil
import sys
import urllib.request
import zipfile
from collections.abc import Sequence
from pathlib import Path

from bench.config.compose import settings_of
from bench.config.schema import RunSettings
from bench.core.cli import guarded
from bench.core.errors import BenchError
from bench.core.hashing import sha256_file
from bench.core.terminal import terminal
from bench.models.weights.checkpoint import COPIES
from bench.models.weights.published import Published, insightface_home
from bench.models.weights.wanted import of_metrics, table

BLOCK = 2**20
"""Bytes that are read at a time."""


def missing(settings: RunSettings) -> list[Published]:
    """What a run with these settings lacks and could fetch.

    Raises:
        BenchError: a method's settings or the data are wrong.
    """
    from bench.models.diffusion.model_cache import Pool
    from bench.runner.plan import cells, load_data

    settings = settings.model_copy(update={"dry_run": True})  # which tells of everything that is missing
    planned = cells(settings, load_data(settings), Pool("cpu"))
    return list(dict.fromkeys([*(item for cell in planned for item in cell.fetchable), *of_metrics(settings.metric)]))


def download(wanted: Published) -> Path:
    """Download one thing, and say where its files are.

    Raises:
        BenchError: it cannot be reached, or what came is not what was promised.
    """
    try:
        return _archive(wanted) if wanted.archive else _from_hub(wanted)
    except BenchError:
        raise
    except Exception as error:  # the hub client and urllib raise dozens of unrelated types
        raise BenchError(
            f"{wanted.title} could not be downloaded ({wanted.facts}): {type(error).__name__}: {error}",
            "Check the connection, and repeat: what is here is kept. "
            + (wanted.access or "If it is gated, accept its licence on its page and log in."),
        ) from error


def _from_hub(wanted: Published) -> Path:
    from huggingface_hub import HfApi, snapshot_download

    patterns, copies = list(wanted.files) or None, [f"*{copy}*" for copy in COPIES]
    folder = Path(
        snapshot_download(wanted.place, revision=wanted.commit, allow_patterns=patterns, ignore_patterns=copies)
    )
    stated = HfApi().model_info(wanted.place, revision=folder.name, files_metadata=True).siblings or []
    for file in stated:
        path = folder / file.rfilename
        if file.lfs and path.is_file() and sha256_file(path) != file.lfs.sha256:
            path.resolve().unlink()
            raise BenchError(f"{file.rfilename} of {wanted.place} came damaged.", "Repeat: it is downloaded again.")
    return folder


def _archive(wanted: Published) -> Path:
    assert wanted.archive
    folder = insightface_home() / wanted.archive
    partial = folder.with_suffix(".partial")  # only a whole pack may have its name
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    packed = partial / "archive.zip"
    with urllib.request.urlopen(wanted.place) as source, packed.open("wb") as target:
        left = wanted.archive_bytes + 1  # one more would be too many
        while left and (block := source.read(min(left, BLOCK))):
            target.write(block)
            left -= len(block)
    if packed.stat().st_size != wanted.archive_bytes or sha256_file(packed) != wanted.sha256:
        shutil.rmtree(partial)
        raise BenchError(f"{wanted.place} is not the archive that was published.", "Repeat; nothing of it was kept.")
    with contextlib.closing(zipfile.ZipFile(packed)) as archive:
        for member in archive.infolist():
            name = Path(member.filename).name
            if name.endswith(".onnx"):  # no other file, and no path of the archive's own
                with archive.open(member) as source, (partial / name).open("wb") as target:
                    shutil.copyfileobj(source, target)
    packed.unlink()
    return partial.rename(folder)


def main(overrides: Sequence[str]) -> int:
    """Show what is missing and download it; 1 if something could not be had."""
    if any(word in ("-h", "--help") for word in overrides):
        print(__doc__)
        return 0
    console = terminal()
    settings = settings_of(overrides)
    wanted = missing(settings)
    if not wanted:
        console.print("Everything that can be fetched for these settings is here.")
        return 0
    console.print(table(wanted))
    for item in wanted:
        if item.access:
            console.print(item.access, soft_wrap=True, highlight=False)
    if settings.dry_run:
        return 0
    failed = False
    for item in wanted:
        try:
            console.print(f"{item.title}: {download(item)}", soft_wrap=True)
        except BenchError as error:
            failed = True
            console.print(str(error), soft_wrap=True)
    return int(failed)


if __name__ == "__main__":
    sys.exit(guarded(main, sys.argv[1:]))
