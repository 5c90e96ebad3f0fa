"""Scores computed again: equal ones pass, and a change of any of them is seen."""

from __future__ import annotations

import datetime
import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from bench.core.errors import BenchError
from bench.results.record import Record, load_all, save
from leaderboard.entries.reader import open_all, open_result
from leaderboard.entries.run_folder import Album, open_store
from leaderboard.review.verify import (
    PICTURES,
    RERUN,
    RERUN_MEAN,
    STATED,
    STORED,
    Comparison,
    from_artefacts,
    verify,
    with_rerun,
)
from leaderboard.site.board import SHOWN
from leaderboard.site.measures import HALVES
from tests.support.entries import PROTOCOL, PROVENANCE, grid, invented, made, stored_run, write_entry

PEOPLE = [f"p{i:02d}" for i in range(3)]


def changed(record: Record, **metrics: float) -> Record:
    """With other metrics."""
    return record.model_copy(update={"metrics": record.metrics | metrics})


def seen(people: Sequence[str]) -> list[Record]:
    """A grid whose records also state what judges see in the cloaked photos, as a run's do."""
    return [changed(record, photos_recognised=0.5) for record in grid(people)]


def run_of(folder: Path, records: Sequence[Record]) -> Path:
    for record in records:
        save(record, folder / "cells")
    return folder


def verified(run: Path, **options: Any) -> tuple[int, str]:
    """Exit status and what was printed."""
    text = io.StringIO()
    facts = {"store": run / "nowhere", "entry": None, "write": None, "by": ""} | options
    return verify(run, console=Console(file=text, width=200), **facts), text.getvalue()


def line(text: str, metric: str, last: bool = True) -> list[str]:
    """The row of a metric in the last, or first, table."""
    rows = [row.split() for row in text.splitlines() if row.strip().startswith(f"{metric} ")]
    return rows[-1 if last else 0][len(metric.split()) :]


# --- a run's own artefacts ------------------------------------------------------------------------------------------


@pytest.fixture
def stored(tmp_path: Path) -> tuple[Path, Path]:
    return stored_run(tmp_path, grid(["p01"]), invented()[:2])


def test_a_run_agrees_with_itself(stored: tuple[Path, Path]) -> None:
    run, store = stored
    status, text = verified(run, store=store)
    assert status == 0
    for metric in STORED:
        cells, largest, _, verdict = line(text, metric)
        assert (cells, float(largest), verdict) == ("4", 0, "ok")


@pytest.mark.parametrize(
    ("metric", "value"),
    [
        ("fdfr", 0.125),
        ("ism_detected", 0.3),
        ("ism_zero", 0.37501),
        ("ilr", 0.0),
        ("linf", 7.0),
        ("psnr", 99),
        ("ssim", 1),
    ],
)
def test_score_that_was_changed_is_seen(stored: tuple[Path, Path], metric: str, value: float) -> None:
    run, store = stored
    record = next(r for r in load_all(run) if r.defense.name == "aspl")
    save(changed(record, **{metric: float(value)}), run / "cells")
    status, text = verified(run, store=store)
    assert status == 1
    assert [name for name in STORED if line(text, name)[-1] == "BEYOND"] == [metric]


def test_threshold_that_was_changed_is_seen(stored: tuple[Path, Path]) -> None:
    run, store = stored
    record = load_all(run)[0]
    save(
        record.model_copy(update={"thresholds": record.thresholds | {"ilr.faceres": 0.9, "ilr.mobilefacenet": 0.9}}),
        run / "cells",
    )
    assert line(verified(run, store=store)[1], "ilr")[-1] == "BEYOND"


def test_picture_of_another_run_is_seen(stored: tuple[Path, Path]) -> None:
    run, store = stored
    record = load_all(run)[0]
    images = [image.model_copy(update={"sha256": "0" * 64}) if image.image < 3 else image for image in record.images]
    save(record.model_copy(update={"images": images}), run / "cells")
    status, text = verified(run, store=store)
    assert status == 1
    assert line(text, PICTURES) == ["4", "6", "0", "BEYOND"]
    save(record.model_copy(update={"images": record.images[:-1]}), run / "cells")
    assert line(verified(run, store=store)[1], PICTURES) == ["4", "1", "0", "BEYOND"]


def test_what_the_store_lost_is_not_checked_and_said_so(stored: tuple[Path, Path]) -> None:
    run, store = stored
    records = load_all(run)
    for record in records:
        key = record.stages["generate"].key
        (store / "generate" / key[:2] / key / "000.png").unlink()
    found = from_artefacts(records, Album(open_store(store), records))
    assert (len(found.differences[PICTURES]), len(found.differences["linf"])) == (0, 4)
    status, text = verified(run, store=store)
    assert status == 0
    assert line(text, PICTURES)[-2:] == ["not", "checked"]
    status, text = verified(run)
    assert status == 0
    assert "pictures were not checked" in text
    assert not (run / "nowhere").exists()


def test_keys_do_not_lead_out_of_the_store(stored: tuple[Path, Path]) -> None:
    run, store = stored
    outside = store.parent / "outside"
    record = load_all(run)[0]
    key = record.stages["generate"].key
    (store / "generate" / key[:2] / key).rename(outside)
    stages = record.stages | {"generate": record.stages["generate"].model_copy(update={"key": str(outside)})}
    moved = record.model_copy(update={"stages": stages})
    assert Album(open_store(store), [moved]).stage(moved, "generate") is None


def test_failed_cells_have_no_scores_to_check(tmp_path: Path) -> None:
    failed = Record.model_validate(
        made().model_dump() | {"status": "failed", "reason": "x", "metrics": {}, "images": []}
    )
    assert from_artefacts([failed], None).differences == {}


# --- somebody else's entry ------------------------------------------------------------------------------------------


def compared(tmp_path: Path, entry: Sequence[Record], again: Sequence[Record]) -> Comparison:
    name = f"mine-{len(list(tmp_path.iterdir()))}"
    return with_rerun(open_result(write_entry(tmp_path, name, entry)), again)


def test_equal_runs_agree(tmp_path: Path) -> None:
    found = compared(tmp_path, seen(PEOPLE), list(reversed(seen(PEOPLE))))
    assert found.ok
    assert {len(found.differences[name]) for name in (STATED, "status", "threshold", *RERUN)} == {12}
    assert {len(found.differences[f"mean {name}"]) for name in RERUN_MEAN} == {1}


def test_everything_that_the_board_shows_is_compared() -> None:
    assert {*SHOWN, *HALVES} <= RERUN.keys()


@pytest.mark.parametrize("metric", [name for name in RERUN if name not in HALVES])
@pytest.mark.parametrize("sign", [-1, 1])
def test_cell_that_differs_by_more_than_its_tolerance_is_seen(tmp_path: Path, metric: str, sign: int) -> None:
    records = seen(PEOPLE)
    value = records[3].metrics[metric] or 0.0
    for factor, good in ((0.99, True), (1.01, False)):
        again = [*records[:3], changed(records[3], **{metric: value + sign * factor * RERUN[metric]}), *records[4:]]
        found = compared(tmp_path, records, again)
        assert found.ok == good
        assert found.largest(metric) == pytest.approx(factor * RERUN[metric])


def test_small_differences_in_one_direction_are_seen(tmp_path: Path) -> None:
    records = grid(PEOPLE)
    lower = [changed(r, ilr=(r.metrics["ilr"] or 0) + 0.06) for r in records]
    assert not compared(tmp_path, records, lower).ok
    scattered = [changed(r, ilr=(r.metrics["ilr"] or 0) + 0.06 * (-1) ** i) for i, r in enumerate(records)]
    assert compared(tmp_path, records, scattered).ok
    assert compared(tmp_path, records, lower[:9]).ok, "the mean of a few cells says little"


LIES: dict[str, dict[str, Any]] = {
    "defense.name": {"defense": {"name": "mine", "budget": 8.0, "config": {}}},
    "defense.budget": {"defense": {"name": "aspl", "budget": 4.0, "config": {}}},
    "defense.config.steps": {"defense": {"name": "aspl", "budget": 8.0, "config": {"steps": 5}}},
    "attack.name": {"attack": {"name": "instantid", "config": {}}},
    "countermeasure.0.name": {"countermeasure": [{"name": "jpeg", "config": {}}]},
    "base": {"base": "sdxl"},
    "data": {"data": "celebahq"},
    "identity": {"identity": "ada"},
    "seed": {"seed": 1},
    "surrogates.0": {"surrogates": ["facelet-2"]},
    "weights.0": {"weights": ["e" * 64]},
    "provenance.protocol.far": {"provenance": PROVENANCE | {"protocol": PROTOCOL | {"far": 0.1}}},
    "provenance.data.fingerprint": {"provenance": PROVENANCE | {"data": {"fingerprint": "e" * 64}}},
    "provenance.judges.fingerprint": {"provenance": PROVENANCE | {"judges": {"fingerprint": "e" * 64}}},
}


@pytest.mark.parametrize("fact", LIES)
def test_numbers_of_something_else_are_not_certified(tmp_path: Path, fact: str) -> None:
    """The ids are those of the maintainer's cells, and so are all numbers; what they are said to be of is not."""
    own = made("p00", "aspl", 8)
    lie = Record.model_validate(own.model_dump() | LIES[fact])
    entry, file = write_entry(tmp_path, "mine", [lie]), tmp_path / "verified.json"
    status, text = verified(run_of(tmp_path / "run", [own]), entry=entry, write=file, by="Ada")
    assert status == 1
    assert line(text, STATED)[-1] == "BEYOND"
    assert f"{fact} is" in text
    assert not file.exists()


@pytest.mark.parametrize("metric", [name for name in SHOWN if name in made().metrics])
def test_a_metric_that_only_one_of_them_states_is_not_certified(tmp_path: Path, metric: str) -> None:
    silent = [r.model_copy(update={"metrics": {k: v for k, v in r.metrics.items() if k != metric}}) for r in grid()]
    assert not compared(tmp_path, silent, grid()).ok
    assert not compared(tmp_path, grid(), silent).ok


def test_likeness_may_not_be_moved_from_one_half_of_the_pictures_to_the_other(tmp_path: Path) -> None:
    """The worst attack is chosen by one half and scored by the other, so a cell's mean is not all that is shown."""
    own = made("p00", "aspl", 8)
    lie = own.model_copy(
        update={
            "images": [
                i.model_copy(update={"image": (i.prompt + i.image // 4) % 2 + 2 * (i.image % 4)}) for i in own.images
            ]
        }
    )
    found = compared(tmp_path, [lie], [own])
    assert [name for name in found.tolerances if found.largest(name) > found.tolerances[name]] == ["even", "odd"]


def test_files_may_lie_elsewhere(tmp_path: Path) -> None:
    """Settings name them; `weights` hold their hashes."""

    def of(adapter: str, weights: str) -> Record:
        config = {"name": "adapter", "budget": 8.0, "config": {"adapter": adapter}}
        return Record.model_validate(made("p00").model_dump() | {"defense": config, "weights": [weights * 64]})

    own = of("/srv/mine.safetensors", "a")
    assert compared(tmp_path, [of("~/mine.safetensors", "a")], [own]).ok
    assert not compared(tmp_path, [of("~/other.safetensors", "a")], [own]).ok
    assert not compared(tmp_path, [of("~/mine.safetensors", "b")], [own]).ok


def test_status_and_threshold_must_agree(tmp_path: Path) -> None:
    records = grid(PEOPLE)
    failed = records[3].model_copy(update={"status": "failed", "reason": "x"})
    assert compared(tmp_path, records, [failed]).largest("status") == 1
    assert not compared(tmp_path, records, [failed]).ok
    other = records[3].model_copy(update={"thresholds": {"ilr": 0.52}})
    assert not compared(tmp_path, records, [other]).ok


def test_only_equal_cells_are_compared(tmp_path: Path) -> None:
    found = compared(tmp_path, grid(PEOPLE), [*grid(["p00"]), *grid(["p99"])])
    assert len(found.differences["status"]) == 4
    run = run_of(tmp_path / "run", grid(["p99"]))
    with pytest.raises(BenchError, match="No cell of"):
        verified(run, entry=write_entry(tmp_path, "other"))


def test_verification_is_written_and_counts(tmp_path: Path) -> None:
    results = tmp_path / "results"
    records = grid(PEOPLE)
    entry, theirs = write_entry(results, "mine", records), write_entry(results, "theirs", grid(PEOPLE[:1]))
    run = run_of(tmp_path / "run", [made("p00", "aspl", 8, leaks=3), *records[4:8]])
    file = results / "verified.json"
    status, text = verified(run, entry=entry, write=file, by="Ada")
    assert status == 0
    assert "mine is verified on 5 of 12 cells" in text
    found = {r.entry.id: r.verification for r in open_all(results)[0]}
    assert found["theirs"] is None
    mine = found["mine"]
    assert mine is not None
    assert (mine.by, mine.cells, mine.of, mine.largest_difference) == ("Ada", 5, 12, 0.125)
    assert (mine.whole, sorted(mine.only)) == (False, sorted(r.cell for r in load_all(run)))
    assert mine.date == datetime.date.today()
    assert verified(run_of(tmp_path / "more", records), entry=theirs, write=file, by="Bob")[0] == 0
    assert [r.verification.by for r in open_all(results)[0] if r.verification] == ["Ada", "Bob"], "the first is kept"
    assert list(json.loads(file.read_text())) == ["mine", "theirs"]


def test_no_verification_beyond_a_tolerance_or_without_a_name(tmp_path: Path) -> None:
    records = grid(PEOPLE)
    entry, file = write_entry(tmp_path, "mine", records), tmp_path / "verified.json"
    run = run_of(tmp_path / "run", [changed(records[3], psnr=31.0)])
    status, text = verified(run, entry=entry, write=file, by="Ada")
    assert status == 1
    assert line(text, "psnr") == ["1", "1", "0.5", "BEYOND"]
    lying = run_of(tmp_path / "lying", [changed(records[3], ilr=0.375)])
    assert verified(lying, entry=entry, write=file, by="Ada")[0] == 1, "a run that does not agree with itself"
    assert not file.exists()
    for options in ({"entry": entry}, {"by": "Ada"}):
        with pytest.raises(BenchError, match="needs an entry and a name"):
            verified(run, write=file, **options)


def test_bad_verifications_are_not_overwritten(tmp_path: Path) -> None:
    entry, file = write_entry(tmp_path, "mine", grid()), tmp_path / "verified.json"
    file.write_text("{}x")
    run = run_of(tmp_path / "run", grid())
    with pytest.raises(BenchError, match=r"verified.json: \(whole file\): not JSON"):
        verified(run, entry=entry, write=file, by="Ada")
    assert file.read_text() == "{}x"
