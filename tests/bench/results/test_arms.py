"""Arms: which records belong together, and what sets the others apart."""

from __future__ import annotations

from typing import Any

import pytest

from bench.results.arms import arms
from bench.results.record import Record
from tests.support.plain_records import defense, record


def labels(*records: Record) -> list[str]:
    return [arm.label for arm in arms(records)]


def test_one_arm_has_a_plain_label_whatever_its_settings() -> None:
    assert labels(record(), record("bob")) == ["aspl 8/255"]


def test_settings_that_differ_set_arms_of_one_name_apart() -> None:
    """An ablation must not be averaged away."""
    found = arms(
        [
            record(defense=defense("dladiff", layers=[1], dsur=True), ilr=0.1),
            record(defense=defense("dladiff", layers=[1], dsur=False), ilr=0.4),
            record("bob", defense=defense("dladiff", layers=[1], dsur=True), ilr=0.3),
            record(defense=defense("mist", rate=1.0), ilr=0.9),
        ]
    )
    assert {arm.label: arm.mean("ilr") for arm in found} == {
        "dladiff 8/255 (dsur true)": pytest.approx(0.2),
        "dladiff 8/255 (dsur false)": 0.4,
        "mist 8/255": 0.9,
    }


def test_a_setting_that_only_follows_another_is_not_named() -> None:
    """Without its second layer DLADiff has no recognisers; with one layer, it matters which it has."""
    alone, both = defense("dladiff", layers=[1], packs=[]), defense("dladiff", layers=[1, 2], packs=["a"])
    other = defense("dladiff", layers=[1, 2], packs=["b"])
    assert labels(record(defense=alone), record(defense=both)) == [
        "dladiff 8/255 (layers [1])",
        "dladiff 8/255 (layers [1, 2])",
    ]
    assert labels(record(defense=both), record(defense=other), record(defense=alone)) == [
        'dladiff 8/255 (layers [1, 2], packs ["a"])',
        'dladiff 8/255 (layers [1, 2], packs ["b"])',
        "dladiff 8/255 (layers [1], packs [])",
    ]
    empty, full = defense("mist", target=""), defense("mist", target="sun")
    assert labels(record(defense=empty), record(defense=full)) == ["mist 8/255 (target )", "mist 8/255 (target sun)"]


def test_a_setting_that_only_follows_an_attacks_variant_is_not_named() -> None:
    """Only the variants that look at faces have a recogniser; with two of them, it matters which."""
    base, face = ({"variant": name, "recogniser": pack} for name, pack in (("base", None), ("faceid", "a")))
    other = face | {"recogniser": "b"}
    rows = [record(attack={"name": "ip_adapter", "config": config}) for config in (base, face, other)]
    assert labels(*rows[:2]) == ["aspl 8/255 + ip_adapter (base)", "aspl 8/255 + ip_adapter (faceid)"]
    assert labels(*rows[1:]) == ["aspl 8/255 (recogniser a)", "aspl 8/255 (recogniser b)"]


def test_a_cloak_against_other_recognisers_is_a_row_of_its_own() -> None:
    """An encoder that the attack does not use, the attack's own, and both."""
    choices = (["facelet-id-a"], ["facelet-id-b"], ["facelet-id-a", "facelet-id-b"])
    assert labels(*(record(defense=defense("dladiff", layers=[2], recognisers=names)) for names in choices)) == [
        'dladiff 8/255 (recognisers ["facelet-id-a"])',
        'dladiff 8/255 (recognisers ["facelet-id-b"])',
        'dladiff 8/255 (recognisers ["facelet-id-a", "facelet-id-b"])',
    ]


def test_an_attacks_own_files_set_no_cloak_apart() -> None:
    """A cloak has one name against all attacks, which load files of their own; with other files of one attack, two."""
    every = [
        record(person, attack={"name": name, "config": {}}, weights=["base", files])
        for person in ("ann", "bob")
        for name, files in (("dreambooth", "none"), ("instantid", "adapter"))
    ]
    for name in ("dreambooth", "instantid"):
        own = [one for one in every if one.attack.name == name]
        assert [arm.label for arm in arms(own, among=every)] == ["aspl 8/255"]
    another = record("ann", attack={"name": "instantid", "config": {}}, weights=["base", "another adapter"])
    assert all("files" in label for label in labels(every[1], another))


def test_a_countermeasures_own_files_set_no_cloak_apart() -> None:
    """A cloak has one name after all countermeasures, so that the worst of them on a person can be found."""
    every = [
        record(person, countermeasure=[{"name": name, "config": {}}] if name else [], weights=["base", files])
        for person in ("ann", "bob")
        for name, files in (("", "none"), ("remover", "network"), ("diff_pure", "prior"))
    ]
    for name in ("", "remover", "diff_pure"):
        own = [one for one in every if [c.name for c in one.countermeasure] == ([name] if name else [])]
        assert [arm.label for arm in arms(own, among=every)] == ["aspl 8/255"]


def test_a_switch_is_named_where_it_is_not_as_in_most_settings() -> None:
    """However many people or attacks have one of them."""

    def dladiff(layers: list[int], dsur: bool, adft: bool) -> dict[str, Any]:
        return defense("dladiff", layers=layers, dsur=dsur, adft=adft)

    settings = [([1], True, True), ([1], False, True), ([1], True, False), ([1, 2], True, True)]
    many = [record(person, defense=dladiff([1], False, True)) for person in ("bob", "eve", "kim", "zoe")]
    assert labels(*(record(defense=dladiff(*s)) for s in settings), *many) == [
        "dladiff 8/255 (layers [1])",
        "dladiff 8/255 (layers [1], dsur false)",
        "dladiff 8/255 (layers [1], adft false)",
        "dladiff 8/255 (layers [1, 2])",
    ]


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ({"base": "facelet-1"}, {"base": "facelet-2"}, ["(on facelet-1)", "(on facelet-2)"]),
        ({"surrogates": ["a"]}, {"surrogates": ["a", "b"]}, ['(surrogates ["a"])', '(surrogates ["a", "b"])']),
        (
            {"attack": {"name": "lora", "config": {"rank": 4}}},
            {"attack": {"name": "lora", "config": {"rank": 8}}},
            ["(rank 4)", "(rank 8)"],
        ),
        (
            {"countermeasure": [{"name": "jpeg", "config": {"quality": 50}}]},
            {"countermeasure": [{"name": "jpeg", "config": {"quality": 75}}]},
            ["+ jpeg (quality 50)", "+ jpeg (quality 75)"],
        ),
        (
            {"attack": {"name": "ip_adapter", "config": {"variant": "base"}}},
            {"attack": {"name": "ip_adapter", "config": {"variant": "faceid"}}},
            ["+ ip_adapter (base)", "+ ip_adapter (faceid)"],
        ),
    ],
)
def test_whatever_differs_is_in_the_label(one: dict[str, Any], other: dict[str, Any], expected: list[str]) -> None:
    assert labels(record(**one), record(**other)) == [f"aspl 8/255 {text}" for text in expected]


def test_controls_come_first_and_have_names_of_their_own() -> None:
    nothing = {"name": "none", "config": {}}
    assert labels(
        record(defense=defense("aspl", 16.0)),
        record(defense=defense("aspl", 8.0)),
        record(defense=defense("noise")),
        record(defense=defense("none", 0.0)),
        record(defense=defense("none", 0.0), photos_of="bob"),
        record(defense=defense("none", 0.0), attack=nothing),
    ) == ["base", "another person", "clean", "noise 8/255", "aspl 8/255", "aspl 16/255"]


def test_a_precomputed_cloak_goes_by_the_name_of_its_method() -> None:
    one, other = (defense("precomputed", label=name, root=f"/data/{name}") for name in ("glaze", "fawkes"))
    assert labels(record(defense=one)) == ["glaze 8/255"]
    assert labels(record(defense=one), record(defense=other)) == ["glaze 8/255", "fawkes 8/255"]


def test_means_and_intervals_are_over_the_people_who_have_the_metric() -> None:
    (arm,) = arms([record("ann", 0.2), record("bob", 0.4), record("eve", None)])
    assert arm.values("ilr") == {"ann": 0.2, "bob": 0.4}
    assert arm.mean("ilr") == pytest.approx(0.3)
    assert arm.interval("ilr") == (0, 1)  # two people say next to nothing
    four = arms([record(f"p{i}", leak) for i, leak in enumerate((0.2, 0.3, 0.4, 0.5))])[0]
    assert four.interval("ilr") == pytest.approx((0.145, 0.555), abs=0.001)
    assert arm.mean("fdfr") is None
    (alone,) = arms([record("ann", 0.2)])
    assert alone.interval("ilr") is None


def test_seconds_are_the_median_which_one_busy_machine_does_not_move() -> None:
    def took(**seconds: float) -> dict[str, Any]:
        return {name: {"seconds": s, "peak_mb": 1.0, "key": name, "cached": False} for name, s in seconds.items()}

    runs = took(fit=20.0, generate=4.0), took(fit=22.0, generate=3.0), took(fit=4000.0, generate=4.0)
    (arm,) = arms([record(f"p{i}", stages=run) for i, run in enumerate(runs)])
    assert arm.seconds("fit", "generate") == 25.0
    assert arm.seconds("protect") == 0.0


def test_seeds_of_an_arm_are_averaged_person_by_person() -> None:
    leaks = {("ann", 0): 0.2, ("ann", 1): 0.6, ("bob", 0): 0.5}
    (arm,) = arms([record(who, leak, seed=seed, cell=f"{who}{seed}") for (who, seed), leak in leaks.items()])
    assert arm.label == "aspl 8/255"
    assert arm.values("ilr") == pytest.approx({"ann": 0.4, "bob": 0.5})
    assert arm.mean("ilr") == pytest.approx(0.45), "bob counts as much as ann"
    assert arm.in_halves()["ann"] == pytest.approx((0.4, 0.4, 0.4)), "pictures of no scale cannot be parted"


def test_a_cell_that_was_skipped_is_no_result_of_its_seed_alone() -> None:
    skipped = record("ann", None, seed=1, cell="skipped", status="skipped", reason="no files")
    (arm,) = arms([record("ann", 0.2), skipped])
    assert len(arm.records) == 2
