"""What sets results apart beside their methods, and what labels and reports say of it."""

from __future__ import annotations

from typing import Any

import pytest

from bench.config.compose import settings_of
from bench.config.schema import shipped_model
from bench.core.hashing import hash_of
from bench.models.diffusion.model_cache import Pool
from bench.report import document, remarks, summary_table
from bench.report.analysis import RunAnalysis
from bench.report.sanity_checks import findings
from bench.results import standard
from bench.results.arms import Arm, arms
from bench.results.conditions import columns, departures, differing
from bench.results.labels import condition_text
from bench.results.record import Record
from bench.runner.pipeline import Pipeline
from bench.runner.plan import cells, load_data
from bench.stats.table import as_csv, read
from bench.store import Store
from tests.support.plain_records import defense, record

MODEL = {"name": "facelet-1", "revision": None} | standard.BASES["facelet-1"] | {"steps": 20}  # protocol 1
PHOTOS = "a" * 64
PROVENANCE: dict[str, Any] = {
    "data": {"fingerprint": PHOTOS},
    "base": {"fingerprint": "b" * 64},
    "judge": {"fingerprint": "c" * 64},
    "protocol": standard.PROTOCOLS[1],
    "precision": "fp32",
}
CUT = {"crop": "centre", "face_margin": 1.5}


def made(person: str = "ann", leak: float = 0.5, name: str = "none", **changes: Any) -> Record:
    """A cell of which everything is stated; `model`, `asked`, `photos` and `cut` replace parts of it."""
    provenance = PROVENANCE | {"protocol": standard.PROTOCOLS[1] | changes.pop("asked", {})}
    provenance |= {"data": {"fingerprint": changes.pop("photos", PHOTOS)}}
    facts = {
        "model": MODEL | changes.pop("model", {}),
        "data_config": CUT | changes.pop("cut", {}),
        "defense": defense(name, 0.0 if name == "none" else 8.0),
        "surrogates": [],
        "surrogate_models": [],
        "weights": ["b" * 64],
        "provenance": provenance,
    } | changes
    made_of = hash_of([person, str(sorted(facts.items(), key=str))])
    return record(person, leak, **{"cell": made_of, **facts})


def old(made_now: Record) -> Record:
    """The same as an earlier version recorded it."""
    return made_now.model_copy(update=dict.fromkeys(("model", "surrogate_models", "weights", "data_config")))


def labels(*records: Record) -> list[str]:
    return [arm.label for arm in arms(records)]


CASES: list[tuple[dict[str, Any], dict[str, Any], list[str]]] = [
    ({"model": {"steps": 2}}, {}, ["steps 2", "steps 20"]),
    ({"model": {"guidance": 1.0}}, {}, ["guidance 1.0", "guidance 5.0"]),
    ({"model": {"precision": "bf16"}}, {}, ["precision bf16", "precision fp32"]),
    ({"model": {"resolution": 64}, "photos": "d" * 64}, {}, ["resolution 64", "resolution 128"]),
    ({"asked": {"images_per_prompt": 1}}, {}, ["images_per_prompt 1", "images_per_prompt 8"]),
    ({"asked": {"far": 0.1}}, {}, ["far 0.1", "far 0.01"]),
    (
        {"asked": {"prompts": ["{subject}"]}},
        {"asked": {"prompts": ["a {subject}"]}},
        ['prompt "{subject}"', 'prompt "a {subject}"'],
    ),
    ({"photos": "d" * 64}, {}, ["photos dddddddd", "photos aaaaaaaa"]),
    ({"photos": "d" * 64, "cut": {"crop": "face"}}, {}, ["crop face", "crop centre"]),
    ({"photos": "d" * 64, "data": "others"}, {}, ["data others", "data synthetic"]),
    ({"weights": ["b" * 64, "e" * 64]}, {}, ["files", "files"]),
]


@pytest.mark.parametrize(("one", "other", "said"), CASES, ids=[str(case[2][0]) for case in CASES])
def test_what_differs_is_two_arms_and_named(one: dict[str, Any], other: dict[str, Any], said: list[str]) -> None:
    records = [made("ann", 0.0, **one), made("bob", 0.5, **one), made("ann", 1.0, **other), made("bob", 1.0, **other)]
    found = {arm.label: arm.mean("ilr") for arm in arms(records)}
    assert sorted(found.values(), key=str) == [0.25, 1.0]
    assert all(any(label.startswith(f"clean ({expected}") for label in found) for expected in said)
    assert all(len(arm.records) == 2 for arm in arms(records))


def test_what_follows_from_something_else_is_not_named() -> None:
    """A base brings its weights, resolution and precision; a setting that cut no photo otherwise says nothing."""
    elsewhere = {**PROVENANCE, "base": {"fingerprint": "f" * 64}}
    other = made(base="facelet-2", model={"name": "facelet-2", "precision": "bf16"}, provenance=elsewhere)
    assert labels(made(), other) == ["clean (on facelet-1)", "clean (on facelet-2)"]
    assert labels(made(), made("bob", cut={"crop": "auto"})) == ["clean"]


def test_nobody_counts_twice() -> None:
    with pytest.raises(ValueError, match="ann has 2 results under 'clean'"):
        Arm("clean", (made(), made()), ("ann", "ann"))


def test_records_that_do_not_say_what_differs_are_kept_apart_all_the_same() -> None:
    """An earlier version did not record the sampler, so its two cells look alike."""
    few, many = old(made(leak=0.0, model={"steps": 2})), old(made(leak=1.0))
    found = arms([few, many, old(made("bob", model={"steps": 2}))])
    assert [arm.label for arm in found[:2]] == [f"clean (cell {few.cell[:8]})", f"clean (cell {many.cell[:8]})"]
    assert all(len(arm.records) == 1 for arm in found)
    assert any(f.severity == "error" and "do not state" in f.message for f in findings(RunAnalysis([few, many])))
    assert labels(few, made("bob"), made("bob", model={"steps": 2})) == [
        "clean (steps unknown)",
        "clean (steps 2)",
        "clean (steps 20)",
    ]
    assert labels(old(made()), made("bob")) == ["clean"]


def test_what_was_skipped_does_not_stand_beside_a_result() -> None:
    skipped = made(status="skipped", metrics={}, cell="0" * 64, weights=[])
    (arm,) = arms([skipped, made()])
    assert [r.status for r in arm.records] == ["ok"]
    assert [arm.label for arm in arms([skipped])] == ["clean"]


def test_people_of_two_data_sets_are_two_whatever_their_names() -> None:
    """Else their differences would be taken person by person."""
    records = [made(p, leak, name) for name, leak in (("mist", 0.9), ("aspl", 0.1)) for p in ("ann", "bob")]
    others = [
        made(p, leak, name, data="others", photos="d" * 64)
        for name, leak in (("mist", 0.8), ("aspl", 0.3))
        for p in ("ann", "bob")
    ]
    (found,) = RunAnalysis(records + others).comparisons
    assert found.scores.people == (
        "ann (data synthetic)",
        "bob (data synthetic)",
        "ann (data others)",
        "bob (data others)",
    )
    apart = {(found.scores.methods[p.first], found.scores.methods[p.second]) for p in found.judged.pairs}
    assert apart == {
        ("aspl 8/255 (data synthetic)", "mist 8/255 (data synthetic)"),
        ("aspl 8/255 (data others)", "mist 8/255 (data others)"),
    }


def test_scores_of_several_conditions_are_columns_of_their_own(tmp_path: Any) -> None:
    file = tmp_path / "scores.csv"
    records = [made(p, leak, model={"steps": steps}) for steps, leak in ((2, 0.25), (20, 1.0)) for p in ("ann", "bob")]
    file.write_bytes(as_csv(RunAnalysis(records).long_form()))
    (scores,) = [scores for (metric, _), scores in read(file).items() if metric == "ilr/lora"]
    assert (scores.methods, scores.values.tolist()) == (("clean (steps 2)", "clean (steps 20)"), [[0.25, 1.0]] * 2)


def test_the_report_says_what_was_not_made_alike() -> None:
    few, many = made(leak=0.25, model={"steps": 2}), made(leak=1.0)
    text_of_both = document.markdown(RunAnalysis([few, many]))
    assert "Note: These results were not all made alike: steps 2 and steps 20." in text_of_both
    assert "| clean (steps 2) | 1 |" in text_of_both
    assert "| clean (steps 20) | 1 |" in text_of_both
    (beside,) = remarks.beside([many], [few, many])
    assert "results made with steps 2; these are with steps 20" in beside
    assert remarks.beside([many], [many]) == []
    assert "on facelet-1 (steps 2), people of" in str(summary_table.table(RunAnalysis([few])).title)
    assert "on facelet-1, people of" in str(summary_table.table(RunAnalysis([many])).title)
    swapped = [made(), made(photos="d" * 64)]
    assert any(f.severity == "warning" and "photos dddddddd" in f.message for f in findings(RunAnalysis(swapped)))


def test_protocol_2_is_what_the_configuration_has_by_default() -> None:
    stated = {name: value for name, value in standard.PROTOCOLS[2].items() if name not in ("version", "judges")}
    assert settings_of([]).protocol.model_dump(mode="json") == stated
    for name, usual in standard.BASES.items():
        model = shipped_model(name)
        assert {fact: getattr(model, fact) for fact in usual} == usual
    assert departures(made()) == {}
    assert departures(made(model={"steps": 2}, asked={"far": 0.1})) == {"far": 0.1, "steps": 2}


def test_everything_that_is_in_a_cells_hash_is_in_its_record(tmp_path: Any) -> None:
    words = [
        "data.limit=1",
        "defense=aspl",
        "attack=lora",
        "model.steps=3",
        "protocol.images_per_prompt=1",
        "logger=none",
    ]
    settings, pool = settings_of(words), Pool("cpu")
    data = load_data(settings)
    pipeline = Pipeline(settings, data, Store(tmp_path), pool)
    for cell in cells(settings, data, pool):
        r = pipeline.failed(cell, "only to see the record")
        assert r.model is not None
        assert (r.model.steps, columns(r)["steps"], columns(r)["images_per_prompt"]) == (3, 3, 1)
        stated = {
            "data": [r.data, r.provenance["data"]["fingerprint"]],
            "identity": [r.identity, r.identity],
            "defense": [{"name": r.defense.name, "config": r.defense.config}, r.defense.budget or 0],
            "countermeasures": [m.model_dump() for m in r.countermeasure],
            "attack": r.attack.model_dump(),
            "base": r.model.model_dump(),
            "surrogates": [m.model_dump() for m in r.surrogate_models or ()],
            "weights": r.weights,
            "seed": r.seed,
            "protocol": r.provenance["protocol"],
        }
        assert hash_of(stated) == r.cell


def test_names_of_conditions_are_short() -> None:
    assert condition_text("photos", PHOTOS) == "photos aaaaaaaa"
    assert condition_text("prompts", ["a", "b"]).startswith("2 prompts ")
    assert differing([{"steps": 1}, {}, {"steps": 1}]) == []
