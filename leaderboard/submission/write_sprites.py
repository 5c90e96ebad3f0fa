"""Sprites of a run's cells, from its store: of people who do not exist, and of pictures that are the records' own."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from bench.core.budget import audit
from bench.core.errors import BenchError
from bench.core.hashing import sha256_array
from bench.core.types import Budget, Pixels
from bench.results.record import Record
from leaderboard.entries.entry import IMAGES
from leaderboard.entries.run_folder import Album, is_invented
from leaderboard.entries.sprites import PHOTOS, Group, Sprite, Sprites, difference, draw


def write_sprites(folder: Path, records: Sequence[Record], album: Album) -> int:
    """Write the sprite of every ok cell whose pictures are in the store, and `images.json`.

    Returns:
        Number of ok cells without a sprite, because the store no longer has their pictures.

    Raises:
        BenchError: somebody may be a real person, or pictures in the store are not those of the record.
    """
    made: dict[str, Sprite] = {}
    good = [record for record in records if record.status == "ok"]
    (folder / "images").mkdir()
    for record in good:
        groups = _groups(record, album)
        if groups is not None:
            made[record.cell], data = draw(record.cell, groups)
            (folder / made[record.cell].file).write_bytes(data)
    (folder / IMAGES).write_text(Sprites(made).model_dump_json())
    return len(good) - len(made)


def _groups(record: Record, album: Album) -> dict[Group, Sequence[Pixels]] | None:
    clean = album.clean(record)
    cloaked, countered, generated = (album.stage(record, name) for name in ("protect", "counter", "generate"))
    if clean is None or cloaked is None or countered is None or generated is None:
        return None
    if record.data != "synthetic" or not is_invented(clean):
        raise BenchError(
            f"{record.identity} of {record.data} is not one of the invented people that come with the package.",
            "Pictures of others never leave this computer: leave --images out.",
        )
    largest = audit(clean, cloaked, Budget(record.defense.budget), record.defense.name)
    hashes = [sha256_array(picture) for picture in generated]
    if largest != record.metrics.get("linf") or hashes != [image.sha256 for image in record.images]:
        raise BenchError(
            f"The store holds other pictures than those of the record {record.cell[:12]} of {record.identity}.",
            "Give the run's own store with --store, or repeat the run.",
        )
    shown = range(min(PHOTOS, len(clean)))
    return {
        "clean": [clean[i] for i in shown],
        "cloaked": [cloaked[i] for i in shown],
        "difference": [difference(clean[i], cloaked[i]) for i in shown],
        "countered": [countered[i] for i in shown],
        "generated": generated,
    }
