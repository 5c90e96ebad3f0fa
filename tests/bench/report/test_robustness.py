"""What a report says of cloaks whose photos somebody has treated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest

from bench.report.comparisons import WORST
from bench.report.robustness import BEST, Grid, Verdict, grids, sentences
from bench.results.record import MethodFacts, ModelFacts, Record
from bench.results.standard import BASES
from tests.support.plain_records import defense, of_pictures, record, scored
from tests.support.two_attacks import markdown

PEOPLE = ("ann", "bob", "cat", "dan", "eve", "flo")
CLEAN = (1.0, 0.9, 1.0, 0.8, 1.0, 0.9)


def cells(
    name: str, leaks: Sequence[float], chain: str = "none", attack: str = "dreambooth", **changes: Any
) -> list[Record]:
    return [
        record(
            person,
            leak,
            cell=f"{name} {chain} {attack} {person} {changes}",
            defense=defense(name, 0.0 if name == "none" else 8.0),
            countermeasure=[{"name": chain, "config": {}}],
            attack={"name": attack, "config": {}},
            thresholds={"ilr": 0.5, "far": 0.01, "pairs": 240.0},
            **changes,
        )
        for person, leak in zip(PEOPLE, leaks, strict=True)
    ]


def run(attack: str = "dreambooth") -> list[Record]:
    """A cloak that survives a crop, not a JPEG, and perhaps a blur; one that never did anything; a crop that costs."""
    cropped = [leak - 0.3 for leak in CLEAN]
    return [
        *cells("none", CLEAN, attack=attack),
        *cells("none", CLEAN, "jpeg", attack),
        *cells("none", CLEAN, "blur", attack),
        *cells("none", cropped, "crop", attack),
        *cells("aspl", (0.1, 0.0, 0.2, 0.1, 0.3, 0.1), attack=attack),
        *cells("aspl", (1.0, 0.9, 0.95, 0.8, 1.0, 0.9), "jpeg", attack),
        *cells("aspl", (0.0, 0.9, 0.0, 0.8, 1.0, 0.0), "blur", attack),
        *cells("aspl", (0.1, 0.1, 0.2, 0.0, 0.2, 0.1), "crop", attack),
        *cells("none", (0.0,) * 6, "wipe", attack),
        *cells("aspl", (0.0,) * 6, "wipe", attack),
        *cells("noise", CLEAN, attack=attack),
        *cells("noise", cropped, "jpeg", attack),
    ]


def verdicts(grid: Grid, cloak: str) -> dict[str, Verdict]:
    return {chain: cell.verdict for (name, chain), cell in grid.cells.items() if name == cloak}


def test_verdicts_are_of_paired_differences_to_clean_photos_treated_the_same() -> None:
    (grid,) = grids(run())
    assert grid.attack == "dreambooth"
    assert grid.chains == ("none", "blur", "crop", "jpeg", "wipe", BEST)
    assert grid.cloaks == ("clean", "noise 8/255", "aspl 8/255")
    found = verdicts(grid, "aspl 8/255")
    assert found["none"] == found["crop"] == Verdict.HOLDS
    assert found["jpeg"] == Verdict.BROKEN
    assert found["wipe"] == Verdict.DESTROYED  # nothing leaks, of clean photos either: no break of the cloak
    # By hand: three of six leak as clean photos do, so p >= 1/8; three leak less than before, so p >= 1/8, too.
    assert found["blur"] == Verdict.OPEN
    assert set(verdicts(grid, "noise 8/255").values()) == set(verdicts(grid, "clean").values()) == {Verdict.NOTHING}


def test_a_break_needs_cloaked_photos_to_leak_more() -> None:
    """A countermeasure that costs the attack on clean photos what the cloak took is no break."""
    left = (0.6, 0.5, 0.6, 0.5, 0.6, 0.5)
    records = [*cells("none", CLEAN), *cells("none", left, "fade"), *cells("weak", left), *cells("weak", left, "fade")]
    (grid,) = grids(records)
    assert verdicts(grid, "weak 8/255") == {"none": Verdict.HOLDS, "fade": Verdict.OPEN, BEST: Verdict.HOLDS}


def test_what_noise_does_as_well_is_no_protection() -> None:
    """After a JPEG, the cloak leaves what noise of its budget leaves, though less than clean photos."""
    after = [leak - 0.3 for leak in CLEAN]
    noise = [*cells("noise", CLEAN), *cells("noise", after, "jpeg")]
    cloak = [*cells("aspl", (0.1,) * 6), *cells("aspl", after, "jpeg")]
    records = [*cells("none", CLEAN), *cells("none", CLEAN, "jpeg"), *cloak]
    assert verdicts(grids(records)[0], "aspl 8/255")["jpeg"] == Verdict.HOLDS
    assert verdicts(grids([*records, *noise])[0], "aspl 8/255")["jpeg"] == Verdict.BROKEN


def test_an_attack_too_weak_on_clean_photos_shows_no_protection() -> None:
    weak = [r.model_copy(update={"metrics": scored((r.metrics["ilr"] or 0) * 0.5)}) for r in run()]
    (grid,) = grids(weak)
    assert {cell.verdict for cell in grid.cells.values()} == {Verdict.NOTHING}


def test_an_attacker_who_tries_all_gets_the_highest_leak_of_each_person() -> None:
    (grid,) = grids(run())
    assert grid.cells["aspl 8/255", BEST].leak == pytest.approx((1 + 0.9 + 0.95 + 0.8 + 1 + 0.9) / 6)
    assert grid.cells["clean", BEST].leak == pytest.approx(sum(CLEAN) / 6)
    assert ("noise 8/255", BEST) not in grid.cells  # what was not tried was not survived


def test_the_worst_attack_is_taken_person_by_person() -> None:
    weak = [r.model_copy(update={"metrics": scored((r.metrics["ilr"] or 0) / 2)}) for r in run("lora")]
    found = {grid.attack: grid for grid in grids([*run(), *weak])}
    assert list(found) == ["dreambooth", "lora", WORST]
    assert found[WORST].cells == found["dreambooth"].cells


def test_the_worst_is_chosen_by_one_half_of_the_pictures_and_scored_by_the_other() -> None:
    """By hand: by even pictures the JPEG is the worst, by odd ones the blur."""
    pictures = {"none": (0.0, 0.0), "jpeg": (0.8, 0.1), "blur": (0.2, 0.5)}
    records = [
        of_pictures(person, alike, countermeasure=[{"name": chain, "config": {}}], cell=f"{person} {chain}")
        for chain, alike in pictures.items()
        for person in PEOPLE
    ]
    (grid,) = grids(records)
    assert {chain: cell.leak for (_, chain), cell in grid.cells.items()} == pytest.approx(
        {"none": 0.0, "jpeg": 0.45, "blur": 0.35, BEST: (0.1 + 0.2) / 2}
    )
    again = {"attack": MethodFacts(name="dreambooth", config={})}
    both = grids([*records, *(r.model_copy(update={**again, "cell": f"{r.cell} again"}) for r in records)])
    assert both[-1].attack == WORST
    assert both[-1].cells["aspl 8/255", "jpeg"].leak == pytest.approx((0.8 + 0.1) / 2)


def test_seeds_are_averaged_and_bases_kept_apart() -> None:
    again = [
        r.model_copy(update={"seed": 1, "cell": f"{r.cell} again", "metrics": scored(0.0)})
        for r in cells("aspl", (0.0,) * 6, "jpeg")
    ]
    (grid,) = grids([*run(), *again])
    assert grid.cells["aspl 8/255", "jpeg"].leak == pytest.approx((1 + 0.9 + 0.95 + 0.8 + 1 + 0.9) / 6 / 2)
    elsewhere = [r.model_copy(update={"base": "facelet-2", "cell": f"{r.cell} elsewhere"}) for r in run()]
    names = [grid.attack for grid in grids([*run(), *elsewhere])]
    assert len(names) == 3
    assert names[1] == "dreambooth on facelet-2"


def test_other_conditions_are_grids_of_their_own() -> None:
    sampled = {"name": "facelet-1", "revision": None} | BASES["facelet-1"]
    few, many = (
        [r.model_copy(update={"model": ModelFacts(**sampled | {"steps": n}), "cell": f"{r.cell} {n}"}) for r in run()]
        for n in (2, 20)
    )
    few = [r.model_copy(update={"metrics": scored(0.0)}) for r in few]
    found = {grid.attack: grid for grid in grids([*few, *many])}
    assert list(found) == ["dreambooth (steps 2)", "dreambooth (steps 20)"]
    assert found["dreambooth (steps 2)"].cells["clean", "none"].leak == 0
    assert found["dreambooth (steps 20)"].cells == grids(run())[0].cells


def test_without_a_countermeasure_or_without_untreated_photos_there_is_nothing_to_say() -> None:
    assert grids(cells("none", CLEAN) + cells("aspl", CLEAN)) == []
    assert grids(cells("none", CLEAN, "jpeg") + cells("none", CLEAN, "blur")) == []
    assert list(sentences([])) == []


def test_the_report_has_the_grid_and_counts_what_holds() -> None:
    text = markdown(run())
    assert "## After countermeasures: dreambooth" in text
    assert "0.13 holds" in text
    assert "jpeg: of 1 protections 1 broken (aspl 8/255 against dreambooth)." in text
    assert "crop: of 1 protections 1 hold." in text


def test_whether_an_attack_can_be_judged_is_read_from_what_leaks_and_not_from_likeness() -> None:
    """After the wipe people are still much alike, and few pass; after the blur all pass, though less alike."""

    def after(chain: str, likeness: float, rate: float) -> list[Record]:
        update = {"metrics": {"likeness": likeness, "ilr": rate}}
        return [r.model_copy(update=update) for r in cells("none", CLEAN, chain)]

    cloak = [*cells("aspl", (0.1,) * 6), *cells("aspl", (0.1,) * 6, "wipe"), *cells("aspl", (0.1,) * 6, "blur")]
    (grid,) = grids([*cells("none", CLEAN), *after("wipe", 0.6, 0.1), *after("blur", 0.4, 1.0), *cloak])
    found = verdicts(grid, "aspl 8/255")
    assert found["wipe"] == Verdict.DESTROYED
    assert found["blur"] == Verdict.HOLDS
