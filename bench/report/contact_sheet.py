"""The contact sheet: for some people, one row per arm: a photo as the attacker found it, and generated pictures."""

from __future__ import annotations

import numpy as np
from PIL import Image, ImageDraw

from bench.core import numbered
from bench.core.errors import BenchError
from bench.core.images import png_bytes
from bench.report.analysis import RunAnalysis
from bench.results.record import Record
from bench.store import Store

TILE = 128
PEOPLE, ROWS = 4, 80
"""At most so many people, and fewer where they have so many rows: the sheet is to be looked at."""
GENERATED = 6
CAPTION = 16


def draw(analysis: RunAnalysis, store: Store) -> bytes:
    """PNG of the sheet. Rows of one person stand together; cells that are not ok are left out."""
    shown = analysis.arms
    people = list(dict.fromkeys(r.identity for r in analysis.records if r.status == "ok"))
    strips = [
        (f"{person} | {arm.label} | photo, then generated", _strip(record, store))
        for person in people[: min(PEOPLE, max(1, ROWS // max(1, len(shown))))]
        for arm in shown
        for record in arm.records
        if record.identity == person and record.status == "ok"
    ]
    sheet = Image.new("RGB", ((GENERATED + 1) * TILE, max(1, len(strips)) * (TILE + CAPTION)), "white")
    pen = ImageDraw.Draw(sheet)
    for line, (caption, tiles) in enumerate(strips):
        top = line * (TILE + CAPTION)
        pen.text((4, top + 2), caption, fill="black")
        for column, tile in enumerate(tiles):
            sheet.paste(tile.resize((TILE, TILE), Image.Resampling.BICUBIC), (column * TILE, top + CAPTION))
    return png_bytes(np.asarray(sheet))


def _strip(record: Record, store: Store) -> list[Image.Image]:
    """The first photo after defense and countermeasure, and the first generated pictures of every prompt in turn.

    Nothing if the store no longer has them: the record stands without.
    """
    try:
        found = numbered.load(store.path("counter", record.stages["counter"].key))
        made = numbered.load(store.path("generate", record.stages["generate"].key), len(record.images))
    except BenchError:
        return []
    prompts = max(image.prompt for image in record.images) + 1
    each = len(made) // prompts
    turn = [prompt * each + image for image in range(each) for prompt in range(prompts)]
    return [Image.fromarray(pixels) for pixels in [*found[:1], *(made[i] for i in turn[:GENERATED])]]
