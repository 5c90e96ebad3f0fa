"""Metrics that rest on the clean arm's records."""

from __future__ import annotations

from typing import Any

import pytest

from bench.results.record import ImageFacts, Record
from bench.results.relative import gate_of, with_derived
from tests.support.plain_records import defense, record

CLEAN = defense("none", 0.0)
LORA = {"name": "lora", "config": {"rank": 4}}


def pictures(*scores: tuple[float | None, float], name: str = "blur") -> list[ImageFacts]:
    """Of (similarity, quality) pairs."""
    return [
        ImageFacts(prompt=0, image=i, noise_seed=i, faces=1, similarity=s, sha256=str(i), quality={name: q})
        for i, (s, q) in enumerate(scores)
    ]


def made(person: str, ilr: float, **changes: Any) -> Record:
    facts = {"thresholds": {"ilr": 0.0, "far": 0.01, "pairs": 999.0}, "images": pictures((0.1, 0.2))} | changes
    return record(person, ilr, **facts)


def metrics(records: list[Record], person: str, name: str = "aspl") -> dict[str, float | None]:
    return next(r.metrics for r in with_derived(records) if r.identity == person and r.defense.name == name)


def test_protection_is_relative_to_the_same_persons_clean_arm() -> None:
    records = [made("ann", 0.8, defense=CLEAN), made("bob", 0.4, defense=CLEAN), made("ann", 0.2), made("bob", 0.1)]
    assert metrics(records, "ann")["protection"] == pytest.approx(0.75)
    assert metrics(records, "ann")["prevented"] == pytest.approx(0.6)
    assert metrics(records, "bob")["prevented"] == pytest.approx(0.3)
    assert metrics(records, "bob")["protection"] is None
    bob = with_derived(records)[3]
    assert "leaks only 0.40" in bob.unavailable["protection"]
    assert metrics(records, "ann", "none")["prevented"] == 0


@pytest.mark.parametrize(
    "other",
    [{"attack": LORA}, {"base": "sd15"}, {"seed": 1}, {"provenance": {"protocol": {"far": 0.1}}}, {"data": "mine"},
     {"countermeasure": [{"name": "jpeg", "config": {"quality": 50}}]}],
)  # fmt: skip
def test_the_clean_arm_of_another_setting_is_none(other: dict[str, Any]) -> None:
    records = [made("ann", 0.8, defense=CLEAN, **other), made("ann", 0.2)]
    assert metrics(records, "ann")["protection"] is None
    assert metrics(records, "ann")["ilr_usable"] is None
    assert "no clean arm" in with_derived(records)[1].unavailable["prevented"]


def test_another_persons_photos_are_no_clean_arm_and_have_no_protection() -> None:
    stranger = made("ann", 0.8, defense=CLEAN, photos_of="zoe")
    assert metrics([stranger, made("ann", 0.2)], "ann")["protection"] is None
    clean = made("ann", 0.8, defense=CLEAN)
    assert with_derived([clean, stranger])[1] == stranger
    base = made("ann", 0.0, defense=CLEAN, attack={"name": "none", "config": {}})
    assert with_derived([clean, base])[1] == base


def test_usable_leaks_look_no_worse_than_the_clean_arms() -> None:
    """Clean pictures have a blur of 0 to 1 in steps of 0.01: the worst twentieth lies above 0.95."""
    clean = made("ann", 1.0, defense=CLEAN, images=pictures(*((0.9, i / 100) for i in range(101))))
    cloaked = made("ann", 0.5, images=pictures((0.9, 0.2), (0.9, 0.96), (-0.9, 0.2), (None, 0.2), (0.0, 0.95)))
    assert metrics([clean, cloaked], "ann")["ilr_usable"] == pytest.approx(2 / 5), "a similarity of 0 is one, too"


def test_the_best_quality_score_that_all_pictures_have_decides() -> None:
    blur, both = made("ann", 1.0), made("bob", 1.0)
    both = both.model_copy(
        update={"images": [i.model_copy(update={"quality": {"blur": 0.1, "clipiqa": 0.5}}) for i in both.images]}
    )
    assert gate_of([both]) == "clipiqa"
    assert gate_of([both, blur]) == "blur"
    assert gate_of([record(), both]) is None
    assert gate_of([]) is None


def test_what_is_stored_stays_as_it_is() -> None:
    records = [made("ann", 0.8, defense=CLEAN), made("ann", 0.2), made("ann", 0.2, status="failed")]
    before = [r.model_dump() for r in records]
    after = with_derived(records)
    assert [r.model_dump() for r in records] == before
    assert after[2] == records[2]
