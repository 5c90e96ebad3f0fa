"""Sprites: all pictures of a cell in one WebP file, a row of square tiles, and `images.json`, which says what is where.

Groups stand in a fixed order: the photos clean, cloaked, their difference, and after the countermeasures, then all
generated pictures, in the order of the record's `images`.
"""

from __future__ import annotations

import io
from collections.abc import Mapping, Sequence
from typing import Annotated, Literal

import numpy as np
from PIL import Image
from pydantic import Field, RootModel, StringConstraints, field_validator

from bench.core.strict import Strict
from bench.core.types import Pixels
from leaderboard.entries.entry import PICTURE, Sha256

Group = Literal["clean", "cloaked", "difference", "countered", "generated"]
GROUPS: tuple[Group, ...] = ("clean", "cloaked", "difference", "countered", "generated")

PHOTOS = 4
"""Photos of a person that are shown, at most."""
TILE = 256
QUALITY = 90
AMPLIFIED = 8
"""How much larger than it is the difference is drawn."""
METADATA = {"exif", "xmp", "icc_profile"}
WIDEST = 16383
"""Pixels that a WebP file may be wide."""


class Sprite(Strict):
    """What is where in a cell's file.

    Attributes:
        file: its name in the entry.
        tile: side of a tile in pixels.
        groups: group -> (first tile, number of tiles).
    """

    file: Annotated[str, StringConstraints(pattern=rf"^{PICTURE}$")]
    tile: int = Field(ge=1, le=TILE)
    groups: dict[Group, tuple[Annotated[int, Field(ge=0, le=WIDEST)], Annotated[int, Field(ge=1, le=WIDEST)]]]

    @field_validator("groups")
    @classmethod
    def _in_a_row(cls, value: dict[Group, tuple[int, int]]) -> dict[Group, tuple[int, int]]:
        following = 0
        for start, count in value.values():
            if start != following:
                raise ValueError("groups must follow each other without gaps. Pack again.")
            following += count
        return value

    @property
    def count(self) -> int:
        """Number of tiles."""
        return sum(count for _, count in self.groups.values())


class Sprites(RootModel[dict[Sha256, Sprite]]):
    """`images.json`: cell -> its sprite."""


def file_name(cell: str) -> str:
    """The name of a cell's sprite."""
    return f"images/{cell}.webp"


def draw(cell: str, groups: Mapping[Group, Sequence[Pixels]]) -> tuple[Sprite, bytes]:
    """One cell's pictures as a sprite and its WebP file.

    Args:
        cell: hash of the cell.
        groups: square pictures, all of one size; groups without pictures are left out.
    """
    pictures = [picture for name in GROUPS for picture in groups.get(name, ())]
    tile = min(len(pictures[0]), TILE, WIDEST // len(pictures))
    row = Image.new("RGB", (tile * len(pictures), tile))
    for index, picture in enumerate(pictures):
        image = Image.fromarray(picture)
        row.paste(
            image if image.width == tile else image.resize((tile, tile), Image.Resampling.LANCZOS), (index * tile, 0)
        )
    places: dict[Group, tuple[int, int]] = {}
    for name in GROUPS:
        if groups.get(name):
            places[name] = (sum(count for _, count in places.values()), len(groups[name]))
    return Sprite(file=file_name(cell), tile=tile, groups=places), _webp(row)


def difference(clean: Pixels, cloaked: Pixels) -> Pixels:
    """A cloak made visible: the change of every value, `AMPLIFIED`, around grey. Of the exact 8-bit pixels."""
    change = cloaked.astype(np.int16) - clean.astype(np.int16)
    return np.clip(128 + AMPLIFIED * change, 0, 255).astype(np.uint8)


def fault(sprite: Sprite, data: bytes) -> str:
    """What is wrong with a sprite's file, or nothing."""
    try:
        decoded(sprite, data)
    except ValueError as error:
        return str(error)
    return ""


def reencoded(sprite: Sprite, data: bytes) -> bytes:
    """A sprite's file written anew from its pixels: nothing else that a stranger put into it comes to a reader.

    Raises:
        ValueError: says what is wrong with it.
    """
    return _webp(decoded(sprite, data))


def decoded(sprite: Sprite, data: bytes) -> Image.Image:
    """The pixels of a sprite's file, RGB.

    Raises:
        ValueError: it is no WebP picture of the size that `sprite` says, has several frames, or metadata.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["WEBP"]) as image:
            wide, high = image.size
            frames, extra = getattr(image, "n_frames", 1), METADATA & image.info.keys()
            said = _unlike(sprite, wide, high, frames, sorted(extra))
            if not said:
                return image.convert("RGB")
    except Exception as error:  # decoders raise whatever comes to them of damaged files
        said = f"is no WebP picture ({type(error).__name__}). Pack again."
    raise ValueError(said)


def _unlike(sprite: Sprite, wide: int, high: int, frames: int, extra: Sequence[str]) -> str:
    if (wide, high) != (sprite.tile * sprite.count, sprite.tile):
        said = f"{sprite.count} tiles of {sprite.tile}"
        return f"is {wide} x {high} pixels, and images.json says {said}. Pack again."
    if frames > 1:
        return f"is an animation of {frames} frames, and one is shown. Pack again."
    return f"has metadata ({', '.join(extra)}). Pack again." if extra else ""


def _webp(picture: Image.Image) -> bytes:
    picture.save(buffer := io.BytesIO(), format="WEBP", quality=QUALITY)
    return buffer.getvalue()
