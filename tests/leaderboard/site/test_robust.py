"""What the page says of protections after countermeasures: the same as the library does of the same records."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

from bench.report.comparisons import WORST
from bench.report.robustness import BEST, Grid, Verdict, grids
from bench.results.record import Record
from leaderboard.site.build import build
from tests.support.boards import pack, record
from tests.support.reader import Reader

CLEAN = (1.0, 0.9, 1.0, 0.8, 1.0, 0.9, 1.0, 0.8)
LOW = (0.1, 0.0, 0.2, 0.1, 0.3, 0.1, 0.2, 0.1)
HALF = (0.0, 0.9, 0.0, 0.8, 1.0, 0.0, 0.5, 0.8)
NONE = (0.0,) * 8
WORDS = {Verdict.HOLDS: "holds", Verdict.BROKEN: "broken", Verdict.OPEN: "open", Verdict.DESTROYED: "too destructive"}


def cells(defense: str, leaks: Sequence[float], chain: str = "none", attack: str = "dreambooth") -> list[Record]:
    """Of every person a cell, whose pictures of one half have somewhat more likeness than those of the other."""
    halves = [(leak, max(0.0, leak - 0.02 * (i % 3))) for i, leak in enumerate(leaks)]
    facts: dict[str, Any] = {"attack": attack, "chain": [chain]}
    return [record(defense, f"person-{i}", leak, halves=halves[i], **facts) for i, leak in enumerate(leaks)]


def grid(attack: str, shift: float = 0.0) -> list[Record]:
    """One cloak that survives a crop, not a JPEG, and perhaps a blur; one that never did anything; what spoils all."""
    cropped, low = [leak - 0.3 for leak in CLEAN], [leak + shift for leak in LOW]
    return [
        *cells("none", CLEAN, attack=attack),
        *cells("none", CLEAN, "jpeg", attack),
        *cells("none", CLEAN, "blur", attack),
        *cells("none", cropped, "crop", attack),
        *cells("none", NONE, "wipe", attack),
        *cells("noise", CLEAN, attack=attack),
        *cells("noise", CLEAN, "jpeg", attack),
        *cells("noise", cropped, "crop", attack),
        *cells("aspl", low, attack=attack),
        *cells("aspl", CLEAN, "jpeg", attack),
        *cells("aspl", HALF, "blur", attack),
        *cells("aspl", low, "crop", attack),
        *cells("aspl", NONE, "wipe", attack),
        *cells("idle", CLEAN, attack=attack),
        *cells("idle", CLEAN, "jpeg", attack),
    ]


RECORDS = grid("dreambooth") + grid("lora", shift=0.05)


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("robust")
    pack(root / "results", "ours", RECORDS, kind="reference")
    plain = [one for one in grid("dreambooth") if one.countermeasure[0].name == "none"]
    pack(root / "plain", "ours", plain, kind="reference")
    assert build(root / "results", root / "site") == []
    assert build(root / "plain", root / "without") == []
    return root


@pytest.fixture
def reader(browser: Any, site: Path) -> Iterator[Reader]:
    one = Reader(browser, site / "site", viewport={"width": 1280, "height": 900})
    yield one
    assert one.wrong == []
    one.page.context.close()


def told(reader: Reader) -> dict[tuple[str, str], tuple[str, str]]:
    """(row, treatment) -> mean and verdict, as they stand on the page."""
    head, *rows = reader.page.eval_on_selector_all(
        "#robust-table tr", "rows => rows.map(row => [...row.children].map(cell => cell.textContent.trim()))"
    )
    names = ["none" if name == "nothing done" else name for name in head[1:]]
    return {
        (row, name): (cell.split(" ", 1)[0], cell.partition(" ")[2].strip())
        for row, *values in rows
        for name, cell in zip(names, values, strict=True)
    }


def expected(found: Grid) -> dict[tuple[str, str], tuple[str, str]]:
    return {
        place: (f"{cell.leak:.2f}", WORDS.get(cell.verdict, ""))
        for place, cell in found.cells.items()
        if place[0] == "aspl 8/255"
    }


@pytest.mark.parametrize("attack", ["dreambooth", WORST])
def test_page_and_library_judge_alike(reader: Reader, attack: str) -> None:
    (found,) = [one for one in grids(RECORDS) if one.attack == attack]
    page = reader.open()
    if attack != WORST:
        number = page.evaluate("name => View.group().attacks.indexOf(name)", attack)
        page.evaluate("number => View.change({ attacks: [number] })", number)
        reader.drawn()
    shown = told(reader)
    assert {place: cell for place, cell in shown.items() if place[0] == "aspl 8/255"} == expected(found)
    said = {chain: verdict for (row, chain), (_, verdict) in shown.items() if row == "aspl 8/255"}
    assert (said["none"], said["crop"], said["jpeg"], said["wipe"]) == ("holds", "holds", "broken", "too destructive")
    assert said[BEST] == "broken"
    assert shown["clean", "wipe"] == ("0.00", "too destructive")


def test_controls_stand_above_and_what_never_protected_is_left_out(reader: Reader) -> None:
    page = reader.open()
    rows = page.eval_on_selector_all("#robust-table tbody th", "all => all.map(each => each.textContent)")
    assert rows == ["clean", "noise 8/255", "aspl 8/255"]
    assert "Shown are 1 of 2 cloaks" in page.inner_text("#robust-note")
    page.evaluate("View.change({ over: 'mean' })")
    reader.drawn()
    assert BEST not in page.inner_text("#robust-table"), "an attacker who tries all takes the worst, not the mean"


def test_without_treated_photos_there_is_no_table(browser: Any, site: Path) -> None:
    one = Reader(browser, site / "without", viewport={"width": 1280, "height": 900})
    assert not one.open().is_visible("#robust")
    one.page.context.close()
