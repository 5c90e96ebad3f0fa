"""The result record: strict JSON with a schema that is its documentation."""

from __future__ import annotations

import gzip
import json
import math
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from bench.results.record import SCHEMA_FILE, SCHEMA_VERSION, Record, load, load_all, save, schema
from tests.support.contexts import ROOT
from tests.support.records import FULL, record


def test_saved_record_is_read_back_equal(tmp_path: Path) -> None:
    original = record()
    path = save(original, tmp_path / "cells")
    assert load(path) == original
    assert json.loads(path.read_text()) == FULL, "every field is in the file, under its own name"
    assert list(path.parent.iterdir()) == [path]


def test_record_without_optional_parts_is_read_back_equal(tmp_path: Path) -> None:
    optional = ("metrics", "unavailable", "thresholds", "stages", "images", "provenance", "reason", "schema_version")
    failed = Record.model_validate(
        {key: value for key, value in FULL.items() if key not in optional} | {"status": "failed", "reason": "no memory"}
    )
    assert failed.schema_version == SCHEMA_VERSION
    assert load(save(failed, tmp_path)) == failed


def test_all_records_of_a_run_are_read_by_file_name(tmp_path: Path) -> None:
    for name in ("cid", "ann", "bob"):
        save(record(identity=name), tmp_path / "cells")
    assert [r.identity for r in load_all(tmp_path)] == ["ann", "bob", "cid"]
    assert load_all(tmp_path / "nowhere") == []


def test_evaluations_are_of_one_photo_with_what_the_surrogate_learned() -> None:
    """Samples through the UNet, with gradients or without; 100 and 20 + 60 + 20 for four photos."""

    def stage(**unet: int) -> dict[str, Any]:
        passes = {"unet": unet, "encoder": {"plain": 999}}
        return {**FULL["stages"]["fit"], "passes": passes}

    cloak = {"surrogate": stage(weights=100), "protect": stage(plain=20, inputs=60, weights=20)}
    stages = cloak | {"fit": stage(weights=7)}
    assert record(stages=stages, photo_count=4).evaluations == 50
    assert record(stages=stages, photo_count=None).evaluations is None
    uncounted = {"protect": FULL["stages"]["fit"] | {"passes": None}}
    assert record(stages=uncounted, photo_count=4).evaluations is None
    assert record(stages={"protect": stage()}, photo_count=4).evaluations == 0


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize(
    "place",
    [
        lambda x: {"metrics": {"ilr": x}},
        lambda x: {"thresholds": {"ilr": x}},
        lambda x: {"stages": {"fit": FULL["stages"]["fit"] | {"seconds": x}}},
        lambda x: {"images": [FULL["images"][0] | {"similarity": x}]},
        lambda x: {"defense": FULL["defense"] | {"budget": x}},
    ],
    ids=["metrics", "thresholds", "stages", "images", "budget"],
)
def test_number_that_json_lacks_is_rejected(place: Any, bad: float) -> None:
    with pytest.raises(ValidationError, match="finite number"):
        record(**place(bad))


def test_nan_in_a_free_part_is_never_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="not JSON compliant"):
        save(record(provenance={"load": math.nan}), tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_nan_in_a_file_is_rejected(tmp_path: Path) -> None:
    path = save(record(), tmp_path)
    path.write_text(path.read_text().replace('"fdfr": 0.25', '"fdfr": NaN'))
    assert "NaN" in path.read_text()
    with pytest.raises(ValidationError):
        load(path)


@pytest.mark.parametrize(
    "changes",
    [
        {"metric": {}},
        {"defense": FULL["defense"] | {"epsilon": 8}},
        {"attack": FULL["attack"] | {"seed": 1}},
        {"stages": {"fit": FULL["stages"]["fit"] | {"hours": 1}}},
        {"images": [FULL["images"][0] | {"score": 1}]},
    ],
    ids=["record", "defense", "attack", "stages", "images"],
)
def test_unknown_field_is_rejected(changes: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="Extra inputs are not permitted"):
        record(**changes)


def test_unknown_status_is_rejected() -> None:
    with pytest.raises(ValidationError, match="status"):
        record(status="done")


@pytest.mark.parametrize("field", ["cell", "status", "identity", "defense", "attack", "base", "seed"])
def test_field_that_names_the_cell_must_be_there(field: str) -> None:
    with pytest.raises(ValidationError, match="Field required"):
        Record.model_validate({key: value for key, value in FULL.items() if key != field})


def test_records_of_before_are_read_and_do_not_claim_what_they_do_not_state() -> None:
    packed = (ROOT / "results" / "reference-synthetic" / "records.jsonl.gz").read_bytes()
    lines = gzip.decompress(packed).splitlines()
    for line in lines[:5]:
        one = Record.model_validate_json(line)
        assert (one.model, one.surrogate_models, one.weights, one.data_config) == (None,) * 4


def test_record_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        record().seed = 1


def test_committed_schema_is_the_current_one() -> None:
    assert SCHEMA_FILE.read_text() == schema(), "run python -m bench.results.record, and think about SCHEMA_VERSION"


def test_schema_allows_no_unknown_field() -> None:
    parsed = json.loads(schema())
    objects = [parsed, *parsed["$defs"].values()]
    assert len(objects) == 6
    assert all(part["additionalProperties"] is False for part in objects)


@pytest.mark.parametrize("identity", ["a/b", "../../etc/passwd", "ann lee", "a\\b", "a:b*?", "..", "", "Zoë", "a\nb"])
def test_file_name_is_safe_for_any_identity(tmp_path: Path, identity: str) -> None:
    folder = tmp_path / "cells"
    path = save(record(identity=identity), folder)
    assert path.parent == folder
    assert path.resolve().parent == folder.resolve()
    assert not set(path.name) & set('/\\ :*?"<>|\n')
    assert [r.identity for r in load_all(tmp_path)] == [identity]


def test_file_name_says_what_it_holds_and_differs_between_cells(tmp_path: Path) -> None:
    paths = {save(record(cell=digit * 64), tmp_path) for digit in "012"}
    assert sorted(path.name for path in paths) == [f"ann-aspl-lora-{digit * 12}.json" for digit in "012"]
