"""The contact sheet: for some people a block with a column per arm: photo, cloaked, change, and what was generated.

Around every generated picture is a frame: red if it passes for the person, green if not; its likeness stands below.
"""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image, ImageDraw

from bench.core import numbered
from bench.core.errors import BenchError
from bench.core.images import png_bytes
from bench.core.types import Pixels
from bench.report.analysis import RunAnalysis
from bench.report.picture_folders import ENLARGED, enlarged_change
from bench.results.leaks import is_measured, leaks, likeness_of_pictures
from bench.results.record import Record
from bench.store import Store

TILE, FRAME, LINE = 128, 4, 14
"""Pixels: side of a tile, width of a frame, height of a line of text."""
MARGIN, LABEL_LINES, LETTERS = 84, 3, 21
"""Of the names of rows, and of an arm's name above its column."""
PEOPLE, COLUMNS = 4, 80
"""At most so many people, and fewer where they have so many columns together: the sheet is to be looked at."""
GENERATED = 4
PASSES, HELD = (200, 30, 30), (30, 140, 60)
LEGEND = "red: passes for the person; green: does not. Below: likeness, 0 a stranger, 1 the person's own clean photos."


@dataclass(frozen=True)
class _Tile:
    """A picture, the colour of its frame and the text below it; all None where there is nothing to show."""

    pixels: Pixels | None = None
    frame: tuple[int, int, int] | None = None
    text: str = ""


_Column = tuple[str, dict[str, _Tile]]
"""An arm's name, and its tiles by the name of their row."""


def draw(analysis: RunAnalysis, store: Store) -> bytes:
    """PNG of the sheet; cells that are not ok are left out."""
    ok = [r for r in analysis.complete if r.status == "ok"]
    clean = {r.identity: r for r in ok if r.defense.name == "none" and not r.of_another_person}
    people = list(dict.fromkeys(r.identity for r in ok))
    blocks = []
    for person in people[: min(PEOPLE, max(1, COLUMNS // max(1, len(analysis.arms))))]:
        found = [(arm.label, r) for arm in analysis.arms for r in arm.records if r.identity == person]
        columns = [(label, _tiles(r, clean.get(person), store)) for label, r in found if r.status == "ok"]
        blocks.append((person, columns))
    return png_bytes(np.asarray(_sheet(blocks)))


def _tiles(record: Record, clean: Record | None, store: Store) -> dict[str, _Tile]:
    """The tiles of a cell; none if the store no longer has its pictures: the record stands without."""
    found: dict[str, _Tile] = {}
    before, after = (_first(store, "protect", each) for each in (clean, record))
    if record.attack.name != "none" and not record.of_another_person:  # else nothing of the person was there
        found |= {"photo": _Tile(before), "cloaked": _Tile(after)}
        if before is not None and after is not None:
            found[f"change x{ENLARGED}"] = _Tile(enlarged_change(before, after))
        if any(step.name != "none" for step in record.countermeasure):
            found["as attacked"] = _Tile(_first(store, "counter", record))
    return found | _generated(record, store)


def _first(store: Store, stage: str, record: Record | None) -> Pixels | None:
    """The first photo of a stage."""
    if record is None or stage not in record.stages:
        return None
    try:
        found = numbered.load(store.path(stage, record.stages[stage].key))
    except BenchError:
        return None
    return found[0] if found else None


def _generated(record: Record, store: Store) -> dict[str, _Tile]:
    """The first generated pictures, of every prompt in turn."""
    try:
        made = numbered.load(store.path("generate", record.stages["generate"].key), len(record.images))
    except BenchError:
        return {}
    prompts = max(image.prompt for image in record.images) + 1
    each = len(made) // prompts
    turn = [prompt * each + image for image in range(each) for prompt in range(prompts)]
    passing = leaks(record) if is_measured(record) else None
    likeness = likeness_of_pictures(record) if passing is not None else None
    return {
        f"generated {place}": _Tile(
            made[i],
            None if passing is None else PASSES if passing[i] else HELD,
            "" if likeness is None else f"{likeness[i]:.2f}",
        )
        for place, i in enumerate(turn[:GENERATED], 1)
    }


def _sheet(blocks: Sequence[tuple[str, Sequence[_Column]]]) -> Image.Image:
    order = [
        "photo",
        "cloaked",
        f"change x{ENLARGED}",
        "as attacked",
        *(f"generated {i + 1}" for i in range(GENERATED)),
    ]
    every = [tiles for _, columns in blocks for _, tiles in columns]
    rows = [name for name in order if any(tiles.get(name, _Tile()).pixels is not None for tiles in every)]
    side, row = TILE + 2 * FRAME, TILE + 2 * FRAME + LINE
    head = (LABEL_LINES + 1) * LINE
    width = MARGIN + side * max([4, *(len(columns) for _, columns in blocks)])
    sheet = Image.new("RGB", (width, LINE + len(blocks) * (head + len(rows) * row)), "white")
    pen = ImageDraw.Draw(sheet)
    pen.text((4, 1), LEGEND, fill="black")
    for number, (person, columns) in enumerate(blocks):
        top = LINE + number * (head + len(rows) * row)
        pen.text((4, top), person, fill="black")
        for line, name in enumerate(rows):
            pen.text((4, top + head + line * row + TILE // 2), name, fill="black")
        for column, (label, tiles) in enumerate(columns):
            left = MARGIN + column * side
            lines = textwrap.wrap(label, LETTERS, max_lines=LABEL_LINES, placeholder=" ...")
            pen.multiline_text((left + FRAME, top + LINE), "\n".join(lines), fill="black", spacing=2)
            for line, name in enumerate(rows):
                _put(sheet, pen, tiles.get(name, _Tile()), (left, top + head + line * row))
    return sheet


def _put(sheet: Image.Image, pen: ImageDraw.ImageDraw, tile: _Tile, place: tuple[int, int]) -> None:
    """A tile at its upper left corner, frame and text with it."""
    if tile.pixels is None:
        return
    left, top = place
    end = left + TILE + 2 * FRAME - 1, top + TILE + 2 * FRAME - 1
    if tile.frame:
        pen.rectangle((left, top, *end), fill=tile.frame)
    picture = Image.fromarray(tile.pixels).resize((TILE, TILE), Image.Resampling.BICUBIC)
    sheet.paste(picture, (left + FRAME, top + FRAME))
    pen.text((left + FRAME, end[1] + 1), tile.text, fill=tile.frame or "black")
