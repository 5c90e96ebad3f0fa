"""What may be wrong with a run, read from its records: gates that forbid a conclusion, and checks that doubt one.

Each check says what it saw and what to do about it. A gradient of zero leaves no trace of its own in a record: what is
checked is its consequence, a cloak that equals the photo, or uses less than half of its budget.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Literal

from bench.report.comparisons import WORST, scored
from bench.results.arms import Arm, arms, attack_label, chain_label
from bench.results.conditions import DATA, Told
from bench.results.record import Record
from bench.stats.max_t import fewest_people
from bench.stats.rule import CONTROLS, SCORE, beside_noise
from metrics.identity import VALID_LEAK

Severity = Literal["error", "warning", "note"]

STRANGER_LEAK = 0.1
"""More leaks than this, where the person was never learned, mean that such faces come out anyway."""
FACELESS = 0.25
"""More clean pictures without a face than this, and FDFR is about the attack."""
DECIDING = 10
"""Fewer strangers than this above the threshold, and a few photos decide where it lies."""
MOST = 20
"""Doubts about photos that are told."""
LOOK = "Look at them: remove what is wrong, or leave people out (data.exclude)."
"""What to do about photos that may be wrong."""
SATURATED = 0.02
"""This near to nothing or everything, leak rates cannot rank."""


@dataclass(frozen=True)
class Finding:
    """Something to know before believing a run.

    Attributes:
        severity: "error": conclude nothing from what it is about; "warning": doubt it; "note": know it.
        message: what was seen.
        fix: what to do.
    """

    severity: Severity
    message: str
    fix: str

    def __str__(self) -> str:
        return f"{self.severity.capitalize()}: {self.message} {self.fix}"


def findings(records: Sequence[Record]) -> list[Finding]:
    """All findings, errors first; each is told once, however many cells have it."""
    found = dict.fromkeys(finding for check in CHECKS for finding in check(records))
    return sorted(found, key=lambda finding: ("error", "warning", "note").index(finding.severity))


def failed_cells(records: Sequence[Record]) -> Iterator[Finding]:
    """Black pictures, values that are not finite, and whatever else stopped a cell."""
    bad = [r for r in records if r.status not in ("ok", "skipped")]
    if bad:
        reason, _ = Counter(r.reason.partition("\n")[0] for r in bad).most_common(1)[0]
        yield Finding(
            "error",
            f"{len(bad)} of {len(records)} cells have no result ({reason or bad[0].status}).",
            "They count as nothing, least of all as protection: mend the cause and repeat the command.",
        )


def skipped_cells(records: Sequence[Record]) -> Iterator[Finding]:
    """What a suite went on without."""
    skipped = [r for r in records if r.status == "skipped"]
    for reason in dict.fromkeys(r.reason for r in skipped):
        count = sum(r.reason == reason for r in skipped)
        yield Finding(
            "warning",
            f"{count} of {len(records)} cells were skipped: {reason}",
            "What was not tried was not survived: the worst attack is over those that ran.",
        )


def several_conditions(records: Sequence[Record]) -> Iterator[Finding]:
    """One folder may hold results of several commands."""
    told = Told(records, but=("on", "seed"))
    for name, values in told.values(records).items():
        severity: Severity = "warning" if name in DATA else "note"
        yield Finding(
            severity,
            f"These results were not all made alike: {' and '.join(values)}.",
            "Arms are kept apart by it. If that was not meant, give each a folder of its own: out=<folder>.",
        )
    untold = [arm for arm in arms(records) if arm.settings[-1:] and arm.settings[-1].startswith("cell ")]
    if untold:
        yield Finding(
            "error",
            f"{untold[0].label.partition(' (')[0]} has several results of one person, and their records, of an earlier "
            "version, do not state what sets them apart.",
            "Repeat the commands: finished work is reused, and the records then say it.",
        )


def weak_attack(records: Sequence[Record]) -> Iterator[Finding]:
    """The clean arm must leak, or there is nothing to prevent; also after a countermeasure."""
    for arm in _clean(records):
        leak, chain = arm.mean("ilr"), chain_label(arm.records[0])
        if leak is not None and leak < VALID_LEAK and chain:
            yield Finding(
                "warning",
                f"After {chain}, {_attack(arm)} leaks only {leak:.2f} on clean photos: too destructive to judge.",
                "What it leaks of cloaked photos says nothing of cloaks: weaken the countermeasure.",
            )
        elif leak is not None and leak < VALID_LEAK:
            yield Finding(
                "error",
                f"{_attack(arm)} leaks only {leak:.2f} on clean photos; below {VALID_LEAK} it cannot "
                "show what a cloak does.",
                "Strengthen it (attack.steps, attack.learning_rate).",
            )


def strangers_pass(records: Sequence[Record]) -> Iterator[Finding]:
    """Who was never learned must not leak."""
    for arm in arms([r for r in records if r.of_another_person]):
        if (leak := arm.mean("ilr") or 0) > STRANGER_LEAK:
            yield Finding(
                "warning",
                f"Made from another person's photos, {leak:.0%} of the pictures pass for these people.",
                "Choose people who differ more, or a stricter protocol.far.",
            )
    for arm in arms([r for r in records if r.attack.name == "none"]):
        if (leak := arm.mean("ilr") or 0) > STRANGER_LEAK:
            yield Finding(
                "warning",
                f"The base alone passes for these people in {leak:.0%} of its pictures.",
                "What passes here was not learned from the photos; choose other people, or a stricter protocol.far.",
            )


def no_better_than_noise(records: Sequence[Record]) -> Iterator[Finding]:
    """A cloak must beat noise of the same budget, person by person."""
    for attack, scores in scored(records).items():
        open_questions, people = [], set[int]()
        for pair in beside_noise(scores):
            if pair.separable or attack == WORST:
                continue
            cloak = scores.methods[pair.first]
            if pair.difference >= 0:
                yield Finding(
                    "warning",
                    f"Noise of the same budget protects as well as {cloak} against {attack} "
                    f"({-pair.difference:+.2f} {SCORE.upper()}).",
                    "Its effect is not adversarial: give it more steps, or look for a bug.",
                )
            else:
                open_questions.append(f"{cloak} ({-pair.difference:.2f} less {SCORE.upper()}, p {pair.adjusted:.2g})")
                people.add(pair.people)
        if open_questions:
            yield Finding(
                "warning",
                f"Against {attack}, noise of the same budget may protect as well as {', '.join(open_questions)}, "
                f"by a test over {max(people)} people.",
                "Take more people: python -m bench.power says how many.",
            )


def over_budget(records: Sequence[Record]) -> Iterator[Finding]:
    """Nothing may exceed its budget."""
    for arm in arms(records):
        worst = max((r.metrics.get("linf") or 0) - r.defense.budget for r in arm.records)
        if worst > 0 and arm.records[0].defense.name != "none":
            yield Finding(
                "error",
                f"{arm.label} exceeds its budget by {worst:g} grey levels.",
                "Compare it with methods of its true budget.",
            )


def idle_cloak(records: Sequence[Record]) -> Iterator[Finding]:
    """A cloak must change the photos."""
    for arm in _cloaks(records):
        changes = [r.metrics.get("linf") for r in arm.records if r.status == "ok" and r.defense.budget >= 1]
        known = [change for change in changes if change is not None]
        if known and min(known) == 0:
            equal = known.count(0)
            yield Finding(
                "error",
                f"{arm.label} left the photos of {equal} of {len(known)} people as they were.",
                "Its gradient or its step size is zero, or it returned its input.",
            )
        elif known and max(known) < arm.records[0].defense.budget / 2:
            yield Finding(
                "warning",
                f"{arm.label} changes no value by more than {max(known):g} grey levels, less than half of its budget.",
                "Its gradient may vanish, or its steps be too few or too small.",
            )


def faceless(records: Sequence[Record]) -> Iterator[Finding]:
    """The judge must find faces where there is no cloak."""
    for arm in _clean(records):
        if (share := arm.mean("fdfr") or 0) > FACELESS:
            yield Finding(
                "warning",
                f"The judge finds no face in {share:.0%} of what {_attack(arm)} makes of clean photos.",
                "FDFR and ILR then say more about the attack than about cloaks: strengthen it, or take more pictures.",
            )


def same_pictures(records: Sequence[Record]) -> Iterator[Finding]:
    """Pictures of different noise must differ."""
    for record in records:
        if len({image.sha256 for image in record.images}) < len(record.images):
            yield Finding(
                "warning",
                f"{attack_label(record)} generated the same picture several times for {record.identity}.",
                "The model may have collapsed: look at sheet.png, and lower attack.learning_rate or attack.steps.",
            )
            return


def shaky_threshold(records: Sequence[Record]) -> Iterator[Finding]:
    """The leak threshold must rest on enough strangers."""
    for r in records:
        far, pairs = r.thresholds.get("far", 1.0), r.thresholds.get("pairs")
        if pairs is not None and far * pairs < DECIDING:
            yield Finding(
                "warning",
                f"The leak threshold is decided by {int(far * pairs)} of {pairs:.0f} pairs of strangers.",
                f"Add people to the data set: {DECIDING / far:.0f} pairs are enough at a false-accept rate of {far:g}.",
            )
            return


def attacked_recogniser(records: Sequence[Record]) -> Iterator[Finding]:
    """The judge must not have been attacked; of witnesses one should know."""
    for record in records:
        settings = [record.surrogates, record.defense.config, record.attack.config]
        if "dlib" in json.dumps(settings).lower():
            yield Finding(
                "error",
                f"{record.defense.name} or {record.attack.name} was set to use dlib, which is the judge.",
                "Take its settings that name dlib away: a judge that was attacked judges nothing.",
            )
        named = [PurePath(str(source)).name for source in record.defense.config.get("recognisers") or []]
        if witnesses := [name for name in named if f"ilr.{name}" in record.thresholds]:
            yield Finding(
                "note",
                f"{record.defense.name} attacks {', '.join(witnesses)}.",
                f"Read {', '.join(f'ilr.{name}' for name in witnesses)} as a check of the cloak; the judge, which "
                "nobody attacks, says what it is worth.",
            )


def doubtful_photos(records: Sequence[Record]) -> Iterator[Finding]:
    """Photos must show whom their folders say, and be there once."""
    said = dict.fromkeys(str(doubt) for r in records for doubt in r.provenance.get("doubts", ()))
    for message in list(said)[:MOST]:
        yield Finding("warning", message, LOOK)
    if len(said) > MOST:
        yield Finding("warning", f"{len(said) - MOST} more photos or people are doubted.", "The records name all.")


def few_people(records: Sequence[Record]) -> Iterator[Finding]:
    """Differences need people."""
    people, needed = len({r.identity for r in records if r.status == "ok"}), fewest_people()
    if people < needed and any(_cloaks(records)):
        yield Finding(
            "warning",
            f"With {people} people no two methods can be told apart.",
            f"Take at least {needed} (data.limit=0 takes all); python -m bench.power says how many a difference needs.",
        )


def saturated(records: Sequence[Record]) -> Iterator[Finding]:
    """If every cloak leaks nothing, or everything, none is better."""
    leaks: dict[str, list[float]] = {}
    for arm in _cloaks(records):
        if (leak := arm.mean("ilr")) is not None:
            leaks.setdefault(attack_label(arm.records[0]), []).append(leak)
    for attack, values in leaks.items():
        if len(values) > 1 and (max(values) <= SATURATED or min(values) >= 1 - SATURATED):
            nothing = max(values) <= SATURATED
            yield Finding(
                "warning",
                f"Against {attack}, all {len(values)} cloaks leak {'nothing' if nothing else 'everything'}: ILR cannot "
                "rank them.",
                "Lower the budget, or strengthen the attack." if nothing else "Raise the budget.",
            )


def halved_batches(records: Sequence[Record]) -> Iterator[Finding]:
    """Low-precision kernels differ by batch shape, so arms made in other batches differ by more than their cloaks."""
    halved = [r for r in records if any(stage.halvings for stage in r.stages.values())]
    if halved:
        yield Finding(
            "note",
            f"Memory ran out in {len(halved)} of {len(records)} cells, so their pictures were made in smaller batches.",
            "In low precision last digits depend on the batch: use fewer workers, or model.precision=fp32.",
        )


CHECKS: tuple[Callable[[Sequence[Record]], Iterator[Finding]], ...] = (
    failed_cells,
    skipped_cells,
    several_conditions,
    weak_attack,
    strangers_pass,
    over_budget,
    idle_cloak,
    attacked_recogniser,
    no_better_than_noise,
    faceless,
    same_pictures,
    shaky_threshold,
    doubtful_photos,
    few_people,
    saturated,
    halved_batches,
)


def _attack(arm: Arm) -> str:
    """An arm's attack, with the settings in which arms differ."""
    return attack_label(arm.records[0]) + (f" ({', '.join(arm.settings)})" if arm.settings else "")


def _clean(records: Sequence[Record]) -> list[Arm]:
    """The arms of attacks on uncloaked photos."""
    return [arm for arm in _attacked(records) if arm.records[0].defense.name == "none"]


def _cloaks(records: Sequence[Record]) -> list[Arm]:
    """The arms of attacks on cloaked photos; noise and JPEG are no cloaks."""
    return [arm for arm in _attacked(records) if arm.records[0].defense.name not in CONTROLS]


def _attacked(records: Sequence[Record]) -> list[Arm]:
    """The arms of attacks on a person's own photos, labelled as in the run's table."""
    first = [(arm, arm.records[0]) for arm in arms(records)]
    return [arm for arm, record in first if record.attack.name != "none" and not record.of_another_person]
