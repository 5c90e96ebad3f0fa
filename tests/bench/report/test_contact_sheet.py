"""The contact sheet: what stands where, and the colour of the frames."""

from __future__ import annotations

from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from bench.core import numbered
from bench.core.types import Pixels
from bench.report import contact_sheet
from bench.report.analysis import RunAnalysis
from bench.report.contact_sheet import FRAME, HELD, LABEL_LINES, LINE, MARGIN, PASSES, TILE
from bench.results.record import Record
from bench.store import Store
from tests.support.plain_records import defense, record

SIDE, ROW, TOP = TILE + 2 * FRAME, TILE + 2 * FRAME + LINE, LINE + (LABEL_LINES + 1) * LINE
GREY, CLOAKED, MADE = 100, 108, (20, 60, 180, 220)
THRESHOLDS = {f"{name}.judge": value for name, value in (("ilr", 0.5), ("stranger", 0.0), ("own", 1.0))} | {"far": 0.01}


GONE = {"seconds": 1, "peak_mb": 1, "key": "a" * 64, "cached": True}
LOST = dict.fromkeys(("protect", "counter", "generate"), GONE)


def drawn(records: list[Record], folder: Path) -> Any:
    return np.asarray(Image.open(BytesIO(contact_sheet.draw(RunAnalysis(records), Store(folder)))))


def stored(folder: Path, name: str, cloaked: int, similarities: tuple[float | None, ...], **facts: Any) -> Record:
    """A record of one person with its pictures in a store."""
    keys = {"protect": f"{name}-p", "counter": f"{name}-c", "generate": f"{name}-g"}
    pictures = {"protect": [flat(cloaked)] * 2, "counter": [flat(cloaked - 50)] * 2, "generate": [*map(flat, MADE)]}
    for stage, key in keys.items():
        place = Store(folder).path(stage, key)
        place.mkdir(parents=True)
        numbered.save(place, pictures[stage])
    stages = {stage: {"seconds": 1, "peak_mb": 1, "key": key, "cached": True} for stage, key in keys.items()}
    images = [
        {
            "prompt": i // 2,
            "image": i % 2,
            "noise_seed": i,
            "faces": int(value is not None),
            "similarity": value,
            "similarities": {"judge": value},
            "sha256": "0",
        }
        for i, value in enumerate(similarities)
    ]
    found = record("ann", 0.5, cell=name, stages=stages, thresholds=THRESHOLDS, **facts)
    return Record.model_validate(found.model_dump() | {"images": images})


def flat(value: int) -> Pixels:
    return np.full((32, 32, 3), value, np.uint8)


@pytest.fixture
def sheet(tmp_path: Path) -> Any:
    clean = stored(tmp_path, "clean", GREY, (0.9, 0.8, 0.6, 0.7), defense=defense("none", 0))
    cloaked = stored(tmp_path, "aspl", CLOAKED, (0.1, 0.9, None, 0.2))
    return drawn([clean, cloaked], tmp_path)


def middle(sheet: Any, column: int, row: int) -> list[int]:
    """The colour in the middle of a tile."""
    y, x = TOP + row * ROW + SIDE // 2, MARGIN + column * SIDE + SIDE // 2
    return [int(value) for value in sheet[y, x]]


def frame(sheet: Any, column: int, row: int) -> tuple[int, ...]:
    return tuple(int(value) for value in sheet[TOP + row * ROW + 1, MARGIN + column * SIDE + SIDE // 2])


def test_arms_are_columns_of_photo_cloaked_change_and_pictures(sheet: Any) -> None:
    assert [middle(sheet, 0, row)[0] for row in range(3)] == [GREY, GREY, 128]
    assert [middle(sheet, 1, row)[0] for row in range(3)] == [GREY, CLOAKED, 128 + 8 * (CLOAKED - GREY)]
    assert [middle(sheet, 1, row)[0] for row in range(3, 7)] == [MADE[i] for i in (0, 2, 1, 3)], "prompts in turn"


def test_frames_are_red_where_a_picture_passes_and_green_where_not(sheet: Any) -> None:
    assert [frame(sheet, 0, row) for row in range(3, 7)] == [PASSES] * 4
    assert [frame(sheet, 1, row) for row in range(3, 7)] == [HELD, HELD, PASSES, HELD]
    assert frame(sheet, 0, 0) == (255, 255, 255), "photos have none"


def test_what_the_attacker_got_is_there_after_a_countermeasure(tmp_path: Path) -> None:
    chain = [{"name": "jpeg", "config": {}}]
    clean = stored(tmp_path, "clean", GREY, (0.9,) * 4, defense=defense("none", 0), countermeasure=chain)
    found = drawn([clean], tmp_path)
    assert [middle(found, 0, row)[0] for row in range(4)] == [GREY, GREY, 128, GREY - 50]


def test_it_shows_fewer_people_where_each_has_many_columns(tmp_path: Path) -> None:
    for arms_each, people in ((2, 4), (40, 2), (100, 1)):
        facts = [(f"p{p}", defense("aspl", float(b))) for p in range(6) for b in range(arms_each)]
        records = [record(person, 0.5, defense=cloak, stages=LOST) for person, cloak in facts]
        height, width, _ = drawn(records, tmp_path).shape
        assert (height - LINE) % people == 0
        assert (height - LINE) // people < 2 * ROW, "without pictures there are no rows of any"
        assert width == MARGIN + SIDE * max(4, arms_each)


def test_it_is_drawn_without_pictures_that_the_store_no_longer_has(tmp_path: Path) -> None:
    assert drawn([record("ann", 0.5, stages=LOST)], tmp_path).shape[0] == TOP
