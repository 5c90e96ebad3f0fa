"""What may be wrong with a run as a whole: its cells, its photos and its number of people."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from bench.report.analysis import RunAnalysis
from bench.report.sanity_checks.arm_kinds import cloaks
from bench.report.sanity_checks.finding import Finding, Severity
from bench.results.conditions import DATA
from bench.results.labels import ConditionLabels
from bench.stats.max_t import fewest_people

DECIDING = 10
"""Fewer strangers than this above the threshold, and a few photos decide where it lies."""
MOST = 20
"""Doubts about photos that are told."""
LOOK = "Look at them: remove what is wrong, or leave people out (data.exclude)."
"""What to do about photos that may be wrong."""


def failed_cells(analysis: RunAnalysis) -> Iterator[Finding]:
    """Black pictures, values that are not finite, and whatever else stopped a cell."""
    bad = [r for r in analysis.records if r.status not in ("ok", "skipped")]
    if bad:
        reason, _ = Counter(r.reason.partition("\n")[0] for r in bad).most_common(1)[0]
        yield Finding(
            "error",
            f"{len(bad)} of {len(analysis.records)} cells have no result ({reason or bad[0].status}).",
            "They count as nothing, least of all as protection: mend the cause and repeat the command.",
        )


def skipped_cells(analysis: RunAnalysis) -> Iterator[Finding]:
    """What a suite went on without."""
    skipped = [r for r in analysis.records if r.status == "skipped"]
    for reason in dict.fromkeys(r.reason for r in skipped):
        count = sum(r.reason == reason for r in skipped)
        yield Finding(
            "warning",
            f"{count} of {len(analysis.records)} cells were skipped: {reason}",
            "What was not tried was not survived: the worst attack is over those that ran.",
        )


def several_conditions(analysis: RunAnalysis) -> Iterator[Finding]:
    """One folder may hold results of several commands."""
    told = ConditionLabels(analysis.records, but=("on", "seed"))
    for name, values in told.values(analysis.records).items():
        severity: Severity = "warning" if name in DATA else "note"
        yield Finding(
            severity,
            f"These results were not all made alike: {' and '.join(values)}.",
            "Arms are kept apart by it. If that was not meant, give each a folder of its own: out=<folder>.",
        )
    untold = [arm for arm in analysis.arms if arm.settings[-1:] and arm.settings[-1].startswith("cell ")]
    if untold:
        yield Finding(
            "error",
            f"{untold[0].label.partition(' (')[0]} has several results of one person, and their records, of an earlier "
            "version, do not state what sets them apart.",
            "Repeat the commands: finished work is reused, and the records then say it.",
        )


def shaky_threshold(analysis: RunAnalysis) -> Iterator[Finding]:
    """The leak threshold must rest on enough strangers."""
    for r in analysis.records:
        far, pairs = r.thresholds.get("far", 1.0), r.thresholds.get("pairs")
        if pairs is not None and far * pairs < DECIDING:
            yield Finding(
                "warning",
                f"The leak threshold is decided by {int(far * pairs)} of {pairs:.0f} pairs of strangers.",
                f"Add people to the data set: {DECIDING / far:.0f} pairs are enough at a false-accept rate of {far:g}.",
            )
            return


def doubtful_photos(analysis: RunAnalysis) -> Iterator[Finding]:
    """Photos must show whom their folders say, and be there once."""
    said = dict.fromkeys(str(doubt) for r in analysis.records for doubt in r.provenance.get("doubts", ()))
    for message in list(said)[:MOST]:
        yield Finding("warning", message, LOOK)
    if len(said) > MOST:
        yield Finding("warning", f"{len(said) - MOST} more photos or people are doubted.", "The records name all.")


def few_people(analysis: RunAnalysis) -> Iterator[Finding]:
    """Differences need people."""
    people, needed = len({r.identity for r in analysis.records if r.status == "ok"}), fewest_people()
    if people < needed and any(cloaks(analysis)):
        yield Finding(
            "warning",
            f"With {people} people no two methods can be told apart.",
            f"Take at least {needed} (data.limit=0 takes all); python -m bench.power says how many a difference needs.",
        )


def halved_batches(analysis: RunAnalysis) -> Iterator[Finding]:
    """Low-precision kernels differ by batch shape, so arms made in other batches differ by more than their cloaks."""
    halved = [r for r in analysis.records if any(stage.halvings for stage in r.stages.values())]
    if halved:
        yield Finding(
            "note",
            f"Memory ran out in {len(halved)} of {len(analysis.records)} cells, so their pictures were made in smaller "
            "batches.",
            "In low precision last digits depend on the batch: use fewer workers, or model.precision=fp32.",
        )
