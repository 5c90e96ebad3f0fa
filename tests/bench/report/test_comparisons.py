"""What a run's report says can be told apart."""

from __future__ import annotations

import itertools
import math
from pathlib import Path

import numpy as np
import pytest

from bench.report.analysis import RunAnalysis
from bench.report.comparisons import WORST, choice, leaking
from bench.report.remarks import remarks
from bench.results.record import Record
from bench.stats.table import as_csv, read
from tests.support.plain_records import defense, of_pictures, record, scored
from tests.support.two_attacks import PEOPLE, THRESHOLDS, markdown, run


def test_every_attack_and_the_worst_one_has_its_tiers() -> None:
    found = {s.attack: s for s in RunAnalysis(run()).comparisons}
    assert list(found) == ["dreambooth", "lora", WORST]
    assert found["dreambooth"].scores.methods == ("clean", "noise 8/255", "aspl 8/255")
    assert {attack: s.judged.passed for attack, s in found.items()} == {"dreambooth": (2,), "lora": (2,), WORST: (2,)}
    assert all(s.scores.controls == {0, 1} and s.scores.noise == {2: 1} for s in found.values())


def test_only_photos_treated_the_same_are_compared_and_an_attacker_may_choose_the_treatment() -> None:
    jpeg = {"countermeasure": [{"name": "jpeg", "config": {}}]}
    treated = [r.model_copy(update={"metrics": scored(0.95)}) for r in run() if r.attack.name == "lora"]
    records = run() + [Record.model_validate(r.model_dump(mode="json") | jpeg) for r in treated]
    found = {s.attack: s for s in RunAnalysis(records).comparisons}
    assert list(found) == ["dreambooth", "lora", "lora after jpeg", WORST]
    assert all(s.scores.methods == ("clean", "noise 8/255", "aspl 8/255") for s in found.values())
    assert found["lora"].scores.values.tolist() == RunAnalysis(run()).comparisons[1].scores.values.tolist()
    assert found[WORST].scores.values.min() == 0.95
    assert found["lora after jpeg"].judged.passed == ()


def test_the_worst_attack_is_taken_person_by_person() -> None:
    records = run()
    worst = RunAnalysis(records).comparisons[-1]
    by_person = {(r.identity, r.attack.name): r.metrics["ilr"] or 0 for r in records if r.defense.name == "aspl"}
    expected = [max(by_person[p, "dreambooth"], by_person[p, "lora"]) for p in PEOPLE]
    assert worst.scores.values[:, 2].tolist() == expected


ATTACKS = ("dreambooth", "lora", "ip_adapter", "textual_inversion", "instantid")
TRUTH = {"none": 0.9, "aspl": 0.5}


def equal_attacks(people: int = 100, pictures: int = 8) -> list[Record]:
    """Attacks that are all as likely to draw somebody: every picture is the person, or nobody, by chance."""
    rng = np.random.default_rng(0)
    return [
        of_pictures(
            f"p{person}",
            (rng.random(pictures) < truth).astype(float).tolist(),
            defense=defense(cloak, 0.0 if cloak == "none" else 8.0),
            attack={"name": attack, "config": {}},
        )
        for (cloak, truth), person, attack in itertools.product(TRUTH.items(), range(people), ATTACKS)
    ]


def test_the_worst_of_equal_attacks_is_not_worse_than_each() -> None:
    """Chosen and scored by the same pictures it is far worse; by half of them each it is what it is."""
    records = equal_attacks()
    analysis = RunAnalysis(records)
    worst = analysis.comparisons[-1].scores
    assert dict(zip(worst.methods, worst.means(), strict=True)) == pytest.approx(
        {"clean": 0.9, "aspl 8/255": 0.5}, abs=0.04
    )
    (cloak,) = [made for made in analysis.attacker_choices if made.arm == "aspl 8/255"]
    assert cloak.per_person == pytest.approx(0.5, abs=0.04)
    assert cloak.once == pytest.approx(0.5, abs=0.04)
    whole = [r.model_copy(update={"images": []}) for r in records]
    assert RunAnalysis(whole).comparisons[-1].scores.means()[1] > 0.65
    assert "one half of the pictures" in choice(records)
    assert "the same pictures" in choice(whole)


def test_several_seeds_of_a_method_are_one() -> None:
    again = [
        r.model_copy(update={"seed": 1, "cell": f"{r.cell}1", "metrics": {"ilr": 0.0, "likeness": 0.0}}) for r in run()
    ]
    once, both = RunAnalysis(run()).comparisons, RunAnalysis([*run(), *again]).comparisons
    assert [c.scores.methods for c in both] == [c.scores.methods for c in once]
    assert all(two.scores.values == pytest.approx(one.scores.values / 2) for one, two in zip(once, both, strict=True))
    assert both[0].scores.noise == {2: 1}


def test_what_was_not_tried_was_not_survived() -> None:
    records = [r for r in run() if not (r.attack.name == "lora" and r.defense.name == "aspl" and r.identity == "p0")]
    worst = RunAnalysis(records).comparisons[-1]
    assert math.isnan(worst.scores.values[0, 2])
    untried = [r for r in run() if not (r.attack.name == "lora" and r.defense.name == "aspl")]
    assert RunAnalysis(untried).comparisons[-1].scores.methods == ("clean", "noise 8/255")


def test_one_attack_has_no_worst_and_one_arm_nothing_to_compare() -> None:
    assert [s.attack for s in RunAnalysis([r for r in run() if r.attack.name == "lora"]).comparisons] == ["lora"]
    assert RunAnalysis([r for r in run() if r.defense.name == "none"]).comparisons == []
    assert RunAnalysis(run(PEOPLE[:1])).comparisons == []
    assert RunAnalysis([]).comparisons == []


def test_the_base_and_other_people_are_no_arms() -> None:
    base = record(attack={"name": "none", "config": {}}, defense=defense("none", 0.0))
    stranger = record(photos_of="zoe", defense=defense("none", 0.0), attack={"name": "lora", "config": {}})
    assert RunAnalysis([*run(), base, stranger]).comparisons[1].scores.methods == ("clean", "noise 8/255", "aspl 8/255")


def test_the_report_shows_them() -> None:
    text = markdown(run())
    assert "## What can be told apart: worst attack" in text
    assert "| aspl 8/255 | 1 | a | 12 |" in text
    assert "| clean | - | - | 12 |" in text
    assert "| aspl 8/255 | base | base |" in text, "of either attack's base"
    assert any("1 of 1 beat noise" in line for line in remarks(RunAnalysis(run())))


def test_it_says_of_how_many_people_a_cloak_can_show_anything() -> None:
    """Of one person's clean photos no picture passes, though all are a little alike."""
    alike = {"metrics": {"ilr": 0.0, "likeness": 0.3}}
    silent = [r.model_copy(update=alike) if (r.defense.name, r.identity) == ("none", "p3") else r for r in run()]
    assert leaking(RunAnalysis(silent).by_attack) == {"dreambooth": (11, 12), "lora": (11, 12)}
    assert "leak at all, of whom alone a cloak can show anything: 11 of 12 (dreambooth), 11 of 12 (lora)." in markdown(
        silent
    )
    assert "| people whose clean photos leak at all | 11 of 12 | 11 of 12 | - | - | - |" in markdown(silent)
    assert leaking(RunAnalysis([r for r in run() if r.defense.name != "none"]).by_attack) == {}


def test_a_share_is_between_none_and_all() -> None:
    """Student's t of two people reaches far beyond."""
    assert "| clean | - | - | 2 |" in (text := markdown(run(PEOPLE[:2])))
    assert "to 1.000 |" in text
    assert "to 1.3" not in text
    assert "| -0." not in text.partition("## All metrics")[0]


def test_a_metric_can_be_named_without_its_attack(tmp_path: Path) -> None:
    file = tmp_path / "scores.csv"
    file.write_bytes(as_csv(RunAnalysis(run()).long_form()))
    found = read(file, higher=["ilr"], metric="ilr")
    assert [metric for metric, _ in found] == ["ilr/dreambooth", "ilr/lora"]
    assert not any(scores.lower_is_better for scores in found.values())
    assert [metric for metric, _ in read(file, metric="ilr/lora")] == ["ilr/lora"]


def test_it_says_when_there_are_too_few_people_to_tell_anything() -> None:
    assert "With 4 people no method can be shown to beat noise" in markdown(run(PEOPLE[:4]))
    assert "whatever its scores" not in markdown(run())


def test_scores_come_back_from_their_file(tmp_path: Path) -> None:
    """Names with commas, quotes and line breaks, too."""
    odd = {person: f'{person},\n"x"' for person in PEOPLE}
    records = [r.model_copy(update=dict.fromkeys(("identity", "photos_of"), odd[r.identity])) for r in run()]
    file = tmp_path / "scores.csv"
    file.write_bytes(as_csv(RunAnalysis(records).long_form()))
    found = read(file)
    assert [metric for metric, _ in found][:1] == ["ilr/dreambooth"]
    wanted = RunAnalysis(records).comparisons[0].scores
    assert found["ilr/dreambooth", "as named"].people == wanted.people
    assert np.array_equal(found["ilr/dreambooth", "as named"].values, wanted.values)


def test_an_attacker_who_picks_once_gets_less_than_one_who_picks_per_person() -> None:
    """By hand: two people, each safe from the other's attack."""
    leaks = {("a", "dreambooth"): 1.0, ("a", "lora"): 0.2, ("b", "dreambooth"): 0.0, ("b", "lora"): 0.6}
    records = [record(p, ilr, attack={"name": a, "config": {}}, thresholds=THRESHOLDS) for (p, a), ilr in leaks.items()]
    (choice,) = RunAnalysis(records).attacker_choices
    assert choice.per_person == pytest.approx((1.0 + 0.6) / 2)
    assert choice.once == pytest.approx((1.0 + 0.0) / 2)
    assert choice.attack == "dreambooth"
    assert f"| {choice.arm} | 0.80 | 0.50 | dreambooth |" in markdown(records)


def test_a_choice_is_over_the_people_on_whom_all_attacks_were_tried() -> None:
    records = [r for r in run() if not (r.attack.name == "lora" and r.identity == "p0")]
    by_arm = {choice.arm: choice for choice in RunAnalysis(records).attacker_choices}
    rest = [r.metrics["ilr"] or 0 for r in run() if r.defense.name == "aspl" and r.attack.name == "lora"][1:]
    assert by_arm["aspl 8/255"].once == pytest.approx(np.mean(rest))
    assert RunAnalysis([r for r in run() if r.attack.name == "lora"]).attacker_choices == []
