"""A paper's tables beside ours: which records belong where, and when a claim holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from bench.core.errors import BenchError
from bench.paper import main
from bench.report.paper_claims import checked, grouped, report
from bench.report.published import Claim, load
from bench.results.record import Record
from bench.results.standard import BASES
from tests.support.records import FULL

PAPER = load("dladiff")
TABLE_1, TRANSFER = PAPER.tables[0], next(table for table in PAPER.tables if table.transfer)
LAYER_1 = {"layers": [1], "dsur": True, "adft": True, "equal_budget": True}


def record(
    person: str, name: str, ism: float, budget: float = 7.0, config: dict[str, Any] | None = None, **changes: Any
) -> Record:
    facts = {
        "data": "celebahq_mini",
        "identity": person,
        "photos_of": person,
        "defense": {"name": name, "budget": budget, "config": config or {}},
        "attack": {"name": "dreambooth", "config": {}},
        "surrogates": [] if name in ("none", "noise") else ["facelet-1"],
        "countermeasure": [],
        "metrics": {"fdfr": 0.25, "ism_zero": ism, "ilr": ism},
    }
    return Record.model_validate(FULL | facts | changes)


def people(*values: float) -> dict[str, dict[str, float]]:
    return {f"p{index}": {"ism_zero": value} for index, value in enumerate(values)}


def check(claim: Claim, arms: dict[str, dict[str, dict[str, float]]]) -> str:
    (found,) = checked([claim], arms)
    return found.verdict


@pytest.mark.parametrize(
    ("ours", "theirs", "factor", "expected"),
    [
        ((0.1, 0.2, 0.3), (0.4, 0.5, 0.6), 1.0, "holds"),
        ((0.4, 0.5, 0.6), (0.1, 0.2, 0.3), 1.0, "fails"),
        ((0.1, 0.6, 0.3), (0.4, 0.2, 0.35), 1.0, "undecided"),
        ((0.2, 0.21, 0.22), (0.4, 0.5, 0.6), 0.2, "fails"),
        ((0.1, 0.1, 0.1), (0.4, 0.6, 0.5), 0.2, "undecided"),  # 0.02 more, 0.02 less, and no difference
        ((0.05, 0.06, 0.07), (0.4, 0.5, 0.6), 0.2, "holds"),
        ((), (0.4, 0.5), 1.0, "not measured"),
    ],
)
def test_a_claim_is_checked_person_by_person(
    ours: tuple[float, ...], theirs: tuple[float, ...], factor: float, expected: str
) -> None:
    """Each figure of two people, so that six can show something."""
    arms = {"a": people(*ours, *ours), "b": people(*theirs, *theirs)}
    assert check(Claim(text="", ours="a", than=("b",), factor=factor), arms) == expected


def test_one_person_measures_nothing_and_five_cannot_show_it() -> None:
    claim = Claim(text="", ours="a", than=("b",))
    assert check(claim, {"a": people(0.1), "b": people(0.4)}) == "not measured"
    (found,) = checked([claim], {"a": people(*[0.1] * 5), "b": people(*[0.4] * 5)})
    assert (found.verdict, found.why) == ("undecided", "5 people cannot show it")


def test_a_large_common_spread_does_not_hide_a_small_difference() -> None:
    values = (0.10, 0.50, 0.90, 0.3, 0.2, 0.7)
    arms = {"a": people(*values), "b": people(*(value + 0.02 for value in values))}
    (found,) = checked([Claim(text="", ours="a", than=("b",))], arms)
    assert found.verdict == "holds"
    assert found.differences["b"] == pytest.approx((-0.02, -0.02, -0.02))


def test_a_claim_against_several_needs_all_of_them() -> None:
    claim = Claim(text="", ours="a", than=("b", "c"))
    ours, below, above = (people(*(level + i / 100 for i in range(8))) for level in (0.1, 0.5, 0.0))
    assert check(claim, {"a": ours, "b": below}) == "undecided"
    assert check(claim, {"a": ours, "b": below, "c": below}) == "holds"
    assert check(claim, {"a": ours, "b": below, "c": above}) == "fails"


def test_no_claim_holds_of_a_cloak_that_is_no_better_than_noise() -> None:
    claim = Claim(text="", ours="a", than=("b",))
    arms = {"a": people(*[0.4] * 8), "b": people(*[0.9] * 8)}
    beats = Claim(text="", ours="a", than=("noise",))
    assert check(beats, {"a": people(*[0.4] * 5), "noise": people(*[0.8] * 5)}) == "holds", "in one direction, of five"
    assert check(beats, arms | {"noise": people(*[0.3] * 8)}) == "undecided"
    assert check(claim, arms | {"noise": people(*[0.8] * 8)}) == "holds"
    (found,) = checked([claim], arms | {"noise": people(*[0.4] * 8)})
    assert (found.verdict, found.why) == ("undecided", "a is not shown to beat noise")
    assert check(Claim(text="", ours="b", than=("a",)), arms | {"noise": people(*[0.4] * 8)}) == "fails"


def test_claims_of_a_table_are_one_family() -> None:
    """Eight that nearly hold by chance: alone each would, together none does."""
    rng = np.random.default_rng(3)
    arms = {"a": people(*[0.5] * 7)} | {f"r{i}": people(*rng.normal(0.6, 0.12, 7)) for i in range(12)}
    claims = [Claim(text="", ours="a", than=(f"r{i}",)) for i in range(12)]
    alone = [checked([claim], arms)[0].verdict for claim in claims]
    together = [found.verdict for found in checked(claims, arms)]
    assert together.count("holds") < alone.count("holds")
    assert all(verdict == "holds" for verdict, joint in zip(alone, together, strict=True) if joint == "holds")


def test_records_find_their_arm_and_budget() -> None:
    records = [
        record("ann", "none", 0.9, 0.0),
        record("ann", "aspl", 0.5),
        record("ann", "mist", 0.6, 16.0),
        record("ann", "dladiff", 0.1, config=LAYER_1),
        record("ann", "dladiff", 0.3, config=LAYER_1 | {"dsur": False}),
        record("ann", "dladiff", 0.05, 18.0, config={"layers": [1, 2], "equal_budget": False}),
        record("ann", "dladiff", 0.06, 18.0, config={"layers": [1, 2], "equal_budget": True}),
        record("ann", "caat", 0.4),
        record("ann", "noise", 0.4, 11.0),  # nothing to compare it with
        record("ann", "mist", 0.2, attack={"name": "lora", "config": {}}),
        record("ann", "mist", 0.3, photos_of="bob"),
    ]
    found = grouped(PAPER, TABLE_1, records)
    assert {
        key: {arm: who["celebahq_mini/ann"]["ism_zero"] for arm, who in arms.items()} for key, arms in found.items()
    } == {
        ("facelet-1", "as published"): {
            "antidreambooth": 0.5,
            "dladiff, layer 1": 0.1,
            "without DSUR": 0.3,
            "dladiff": 0.05,
            "none": 0.9,
        },
        ("facelet-1", "16/255"): {"mist": 0.6, "none": 0.9},
        ("facelet-1", "18/255"): {"dladiff": 0.06, "none": 0.9},
    }


def test_transfer_is_another_base_than_the_surrogate() -> None:
    records = [
        record("ann", "aspl", 0.5),
        record("ann", "aspl", 0.7, base="facelet-2"),
        record("ann", "none", 0.8, 0.0, base="facelet-2"),
        record("ann", "none", 0.9, 0.0),
        record("ann", "noise", 0.85, 16.0),  # on the defender's own base, where the transfer has nothing to say
    ]
    (arms,) = grouped(PAPER, TRANSFER, records).values()
    assert {arm: who["celebahq_mini/ann"]["ism_zero"] for arm, who in arms.items()} == {
        "antidreambooth": 0.7,
        "none": 0.8,
    }
    found = grouped(PAPER, TABLE_1, records)
    assert set(found) == {("facelet-1", "as published")}  # at 16 there is noise alone
    arms = found["facelet-1", "as published"]
    assert {arm: who["celebahq_mini/ann"]["ism_zero"] for arm, who in arms.items()} == {
        "antidreambooth": 0.5,
        "none": 0.9,
    }


def test_the_report_has_both_figures_and_says_what_was_not_measured() -> None:
    records = [record(p, "aspl", 0.5, 16.0) for p in ("ann", "bob")]
    records += [record(p, "dladiff", 0.1, 16.0, config=LAYER_1) for p in ("ann", "bob")]
    text = report(PAPER, [*records, record("eve", "aspl", 0.0, 16.0, status="failed")])
    assert "| antidreambooth | 2 | 0.851 | 0.75 | 0.452 | 0.50 | 0.50 |" in text
    assert "| mist | 0 | 0.980 | - | 0.516 | - | - |" in text
    assert "**undecided** (2 people cannot show it): less of the person is left" in text
    assert "-0.400 (-0.400 to -0.400)" in text
    assert text.count("Not measured.") == len(PAPER.tables) - 2  # Table 1 of CelebA-HQ, and the ablation


def test_a_table_of_one_data_set_leaves_others_out_and_people_of_one_name_are_two() -> None:
    records = [record("ann", "aspl", 0.5), record("ann", "aspl", 0.2, data="vggface2_mini")]
    vggface2 = next(table for table in PAPER.tables if table.data == "vggface2")
    ablation = next(table for table in PAPER.tables if "ablation, DreamBooth" in table.title)
    found = [grouped(PAPER, table, records)["facelet-1", "as published"] for table in (TABLE_1, vggface2, ablation)]
    assert [{p: f["ism_zero"] for p, f in arms["antidreambooth"].items()} for arms in found] == [
        {"celebahq_mini/ann": 0.5},
        {"vggface2_mini/ann": 0.2},
        {"celebahq_mini/ann": 0.5, "vggface2_mini/ann": 0.2},
    ]


def test_what_was_made_otherwise_is_another_table() -> None:
    """Neither an attack of other settings, nor treated photos, nor another sampler replaces a person's result."""
    sampled = {"name": "facelet-1", "revision": None} | BASES["facelet-1"]
    changes: list[dict[str, Any]] = [
        {"attack": {"name": "dreambooth", "config": {"steps": 9}}},
        {"countermeasure": [{"name": "jpeg", "config": {}}]},
        {"model": sampled | {"steps": 2}},
    ]
    for change in changes:
        usual: dict[str, Any] = {"model": sampled, "attack": {"name": "dreambooth", "config": {"steps": 5}}}
        found = grouped(
            PAPER,
            TABLE_1,
            [
                record("ann", name, ism / 2 if other else ism, cell=f"{name}{other}".ljust(64, "0"), **(usual | other))
                for other in ({}, change)
                for name, ism in (("aspl", 0.5), ("none", 0.9))
            ],
        )
        scores = sorted([who["celebahq_mini/ann"]["ism_zero"] for who in arms.values()] for arms in found.values())
        assert scores == [[0.25, 0.45], [0.5, 0.9]], change
        assert len({base for base, _ in found}) == 2, change


def test_seeds_are_averaged() -> None:
    found = grouped(
        PAPER,
        TABLE_1,
        [record("ann", "aspl", ism, seed=seed, cell=f"seed {seed}") for seed, ism in enumerate((0.5, 0.1))],
    )
    (people,) = [who for arms in found.values() for who in arms.values()]
    assert people["celebahq_mini/ann"]["ism_zero"] == pytest.approx(0.3)


def test_somebody_with_two_results_of_an_arm_has_two_arms() -> None:
    found = grouped(
        PAPER, TABLE_1, [record("ann", "aspl", ism, config={"rounds": n}) for n, ism in ((5, 0.5), (9, 0.1))]
    )
    assert {arm: who["celebahq_mini/ann"]["ism_zero"] for arms in found.values() for arm, who in arms.items()} == {
        "antidreambooth: aspl 7/255 (rounds 5)": 0.5,
        "antidreambooth: aspl 7/255 (rounds 9)": 0.1,
    }


def test_every_arm_that_a_table_names_is_known() -> None:
    for table in PAPER.tables:
        named = {*table.published, *(c.ours for c in table.claims), *(x for c in table.claims for x in c.than)}
        assert named <= set(PAPER.arms), table.title


def test_an_unknown_paper_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BenchError, match="dladif") as caught:
        load("dladif")
    assert "dladiff" in caught.value.fix
    assert main([]) == 2
    assert "usage" in capsys.readouterr().out
