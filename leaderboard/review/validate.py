"""All checks of an entry, from its files to what its records say."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

from rich.console import Console
from rich.text import Text

from bench.results.record import Record
from leaderboard.entries.archive import named
from leaderboard.entries.entry import PROTOCOL, RECORDS
from leaderboard.entries.maintained import MAINTAINED, Trust
from leaderboard.entries.reader import Result, open_result
from leaderboard.entries.sprites import fault
from leaderboard.entries.strict_json import WHOLE, BadEntry, Problem, clip, not_understood
from leaderboard.review.entry_checks import MOST, Findings, check
from leaderboard.site.grouping import Places


def validate(path: Path) -> Findings:
    """Everything that is wrong with an entry; never raises for what an entry holds.

    Whether it may be a reference is asked where `maintained.json` lies beside it.
    """
    try:
        beside = named(path).parent
        result = open_result(path, Trust.of(beside) if (beside / MAINTAINED).is_file() else None)
        shown: set[str] = set()
        found = check(_noting(result, shown), result.entry, f"{result.pack.file}/{RECORDS}")
        found.problems = [*found.problems, *_pictures(result, shown)][:MOST]
    except BadEntry as error:
        return Findings(problems=[error.problem])
    except Exception as error:  # of what nobody thought of when writing the checks
        return Findings(problems=[not_understood(named(path).name, error)])
    if result.entry.protocol != PROTOCOL:
        found.warnings.append(f"protocol {result.entry.protocol}: today's is {PROTOCOL}, so it stands on an old board.")
    if result.entry.kind in ("reference", "correction") and not result.maintained:
        counts = "counts" if result.entry.kind == "reference" else "supersedes what it is about"
        found.warnings.append(f"a {result.entry.kind} {counts} only if the maintainers list it in {MAINTAINED}.")
    return found


def _noting(result: Result, shown: set[str]) -> Iterator[Record]:
    """The records, each at a place of its own, while cells that may have pictures are put into `shown`."""
    places = Places(result)
    for record in result.records():
        places.take(record)
        if record.status == "ok" and record.data == "synthetic":
            shown.add(record.cell)
        yield record


def _pictures(result: Result, shown: set[str]) -> Iterator[Problem]:
    for cell, sprite in result.pictures.items():
        file = f"{result.pack.file}/{sprite.file}"
        if cell not in shown:
            yield Problem(
                file, "cell", "is of no ok record of invented people (data=synthetic). Leave the picture out."
            )
        elif said := fault(sprite, result.pack.read(sprite.file)):
            yield Problem(file, WHOLE, said)


def validate_all(files: Sequence[Path], console: Console) -> int:
    """Print what is wrong with some entries; the exit status is 1 if anything is."""
    bad = 0
    for path in files:
        found = validate(path)
        bad += bool(found.problems)
        verdict = ("problem", "red") if found.problems else ("pass", "green")
        console.print(Text.assemble(verdict, f"  {clip(named(path).name)}  {counted(found)}"), soft_wrap=True)
        tell(found, console)
    return 1 if bad else 0


def counted(found: Findings) -> str:
    """ "8 cells (7 ok, 1 failed)" """
    each = ", ".join(
        f"{count} {status}" for status, count in sorted(found.statuses.items(), key=lambda x: x[0] != "ok")
    )
    return f"{found.statuses.total()} cells ({each or 'none'})"


def tell(found: Findings, console: Console) -> None:
    """Print problems and warnings, one a line; the same of several cells once."""
    groups: dict[tuple[str, str], list[Problem]] = {}
    for problem in found.problems:
        groups.setdefault((problem.field, problem.message), []).append(problem)
    for first, *others in groups.values():
        more = f" ({len(others)} more cells)" if others else ""
        console.print(Text(f"  problem: {first}{more}"), soft_wrap=True)
    for warning in found.warnings:
        console.print(Text(f"  warning: {warning}"), soft_wrap=True)
