"""Every doubt that a run's records can raise, each with its fix; and a sound run, which raises none."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from bench.report.analysis import RunAnalysis
from bench.report.sanity_checks import CHECKS, findings
from bench.results.record import MethodFacts, Record, StageFacts
from tests.support.plain_records import defense, scored
from tests.support.plain_records import record as plain

PEOPLE = [f"p{i}" for i in range(8)]
LEAKS = {"none": 0.9, "noise": 0.8, "aspl": 0.3, "mist": 0.5}
NOTHING = {"name": "none", "config": {}}
BLUR = [MethodFacts(name="blur", config={})]
HALVED = StageFacts(seconds=1, peak_mb=1, halvings=2, key="k", cached=False)
PLENTY = StageFacts(seconds=1, peak_mb=1, key="k", cached=False)


def record(person: str, name: str = "aspl", ilr: float = 0.5, **changes: Any) -> Record:
    budget = 0.0 if name == "none" else 8.0
    metrics = {**scored(ilr), "fdfr": 0.1, "linf": budget} | changes.pop("metrics", {})
    thresholds = {"ilr": 0.5, "far": 0.01, "pairs": 1584.0}
    facts = {"defense": defense(name, budget), "thresholds": thresholds} | changes
    return plain(person, ilr, metrics=metrics, **facts)


def sound() -> list[Record]:
    """People vary a little, each in the same way in all arms."""
    arms = [record(p, n, leak + i / 100) for n, leak in LEAKS.items() for i, p in enumerate(PEOPLE)]
    return arms + [record(p, "none", 0.0, attack=NOTHING) for p in PEOPLE]


def changed(name: str, **changes: Any) -> list[Record]:
    """A sound run in which one arm is otherwise."""

    def mended(r: Record) -> Record:
        metrics = {"metrics": {**r.metrics, **changes.get("metrics", {})}}
        return r.model_copy(update={**changes, **metrics}) if r.defense.name == name and r.attack.name != "none" else r

    return [mended(r) for r in sound()]


def told(records: list[Record]) -> list[str]:
    return [str(finding) for finding in findings(RunAnalysis(records))]


def test_a_sound_run_raises_no_doubt() -> None:
    assert told(sound()) == []


@pytest.mark.parametrize(
    ("records", "severity", "message", "fix"),
    [
        (lambda: changed("none", metrics=scored(0.4)), "Error", "leaks only 0.40 on clean photos", "attack.steps"),
        (lambda: [*sound(), *(r.model_copy(update={"countermeasure": BLUR, "metrics": {**r.metrics, **scored(0.1)}})
                              for r in sound())], "Warning", "After blur, lora leaks only 0.10", "weaken"),
        (lambda: changed("mist", metrics={"linf": 9.0}), "Error", "mist 8/255 exceeds its budget by 1 grey", "budget"),
        (lambda: changed("mist", metrics={"linf": 0.0}), "Error", "photos of 8 of 8 people as they were", "gradient"),
        (lambda: changed("mist", metrics={"linf": 3.0}), "Warning", "by more than 3 grey levels", "gradient may"),
        (lambda: changed("mist", metrics=scored(0.95)), "Warning", "Noise of the same budget protects", "more steps"),
        (lambda: changed("none", metrics={"fdfr": 0.4}), "Warning", "finds no face in 40%", "strengthen"),
        (lambda: changed("aspl", thresholds={"far": 0.01, "pairs": 240.0}), "Warning", "2 of 240 pairs", "1000 pairs"),
        (lambda: changed("aspl", surrogates=["faceres"]), "Error", "faceres, which is a judge", "judges nothing"),
        (lambda: sound()[::8], "Warning", "With 1 people no two methods", "at least 6"),
        (
            lambda: [r.model_copy(update={"status": "failed", "reason": "It is entirely black.\nUse fp32."}) if
                     r.identity == "p0" else r for r in sound()],
            "Error",
            "5 of 40 cells have no result (It is entirely black.)",
            "least of all as protection",
        ),
        (
            lambda: changed("none", metrics={"false_leak": 0.05}, thresholds={"far": 0.01}),
            "Warning",
            "5.0% of what lora makes of clean photos pass for others of the data set; 1.0% would",
            "ilr_matched",
        ),
        (
            lambda: [*sound()[:-8], *(record(p, "none", 0.3, attack=NOTHING) for p in PEOPLE)],
            "Warning",
            "The base alone passes for these people in 30%",
            "not learned",
        ),
        (
            lambda: [r if r.defense.name in ("none", "noise") else r.model_copy(update={"metrics": scored(0.01)})
                     for r in sound()],
            "Warning",
            "all 2 cloaks leak nothing",
            "Lower the budget",
        ),
        (
            lambda: [r if r.defense.name in ("none", "noise") else r.model_copy(update={"metrics": scored(0.99)})
                     for r in sound()],
            "Warning",
            "all 2 cloaks leak everything",
            "Raise the budget",
        ),
        (
            lambda: changed("mist", stages={"protect": PLENTY, "generate": HALVED}),
            "Note",
            "Memory ran out in 8 of 40 cells",
            "fewer workers",
        ),
    ],
)  # fmt: skip
def test_what_is_wrong_is_told_with_its_fix(
    records: Callable[[], list[Record]], severity: str, message: str, fix: str
) -> None:
    lines = [line for line in told(records()) if message in line]
    assert len(lines) == 1, told(records())
    assert lines[0].startswith(f"{severity}: ")
    assert fix in lines[0]


def test_a_cloak_is_held_against_noise_person_by_person() -> None:
    """Half of the people gain, half lose: on average better than noise, but not to be told apart."""
    records = [
        r.model_copy(
            update={
                "metrics": {
                    **r.metrics,
                    "ilr": 0.7 if PEOPLE.index(r.identity) % 2 else 0.85,
                    "likeness": 0.7 if PEOPLE.index(r.identity) % 2 else 0.85,
                }
            }
        )
        if r.defense.name == "mist"
        else r
        for r in sound()
    ]
    (line,) = told(records)
    assert "noise of the same budget may protect as well as mist 8/255 (" in line
    assert "by a test over 8 people" in line
    other_budget = [r if r.defense.name != "noise" else r.model_copy(update={"defense": r.defense.model_copy(
        update={"budget": 16.0})}) for r in records]  # fmt: skip
    assert not any("may protect as well" in line for line in told(other_budget))


def test_noise_at_another_attack_is_no_control() -> None:
    lora = {"name": "lora", "config": {"rank": 4}}
    records = [r if r.defense.name != "noise" else r.model_copy(update={"attack": record("p", attack=lora).attack})
               for r in changed("mist", metrics=scored(0.95))]  # fmt: skip
    assert not any("Noise of the same budget" in line for line in told(records))


def test_an_attacked_witness_is_named() -> None:
    used = {"name": "idguardian", "budget": 8.0, "config": {"recognisers": ["/packs/buffalo_l"]}}
    known = {"ilr": 0.5, "far": 0.01, "pairs": 1584.0, "ilr.buffalo_l": 0.3}
    records = [*sound(), *(record(p, "mist", 0.4, thresholds=known, defense=used) for p in PEOPLE)]
    (line,) = told(records)
    assert line.startswith("Note: idguardian attacks buffalo_l.")


def test_the_same_picture_again_and_again_is_told_once() -> None:
    def collapsed(r: Record) -> Record:
        return r.model_copy(update={"images": [i.model_copy(update={"sha256": "same"}) for i in r.images]})

    (line,) = told([collapsed(r) for r in sound()])
    assert "generated the same picture several times for p0" in line


def test_errors_come_first_and_nothing_of_an_empty_run() -> None:
    severities = [f.severity for f in findings(RunAnalysis([*changed("none", metrics={**scored(0.4), "fdfr": 0.5})]))]
    assert severities == ["error", "warning"]
    assert findings(RunAnalysis([])) == []
    assert len(CHECKS) == 17


def test_controls_are_no_cloaks() -> None:
    assert told([r for r in changed("noise", metrics={"linf": 0.0}) if r.defense.name in ("none", "noise")]) == []


def test_a_defense_whose_name_begins_like_a_control_is_a_cloak() -> None:
    """Only its own record says what an arm is."""
    renamed = [r.model_copy(update={"defense": r.defense.model_copy(update={"name": "cleanse"})})
               if r.defense.name == "aspl" else r for r in sound()]  # fmt: skip
    assert told(renamed) == []
