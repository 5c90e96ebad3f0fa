"""What the records of an entry must hold to say anything: one protocol, budgets kept, controls, and honest sums.

Errors keep an entry out. Warnings do not: they say what its numbers cannot show.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from itertools import islice
from statistics import fmean
from typing import NamedTuple

from bench.results.conditions import as_json, conditions, departures
from bench.results.labels import attack_key, chain_key, condition_text
from bench.results.record import Record
from bench.results.relative import weakness
from bench.stats.max_t import fewest_people
from bench.stats.rule import CONTROLS
from leaderboard.entries.agreement import Agreement
from leaderboard.entries.entry import PROTOCOL, Entry, Kind
from leaderboard.entries.strict_json import WHOLE, Problem, clip
from leaderboard.review.record_checks import faults

MOST = 20
"""Problems, and warnings, that are told of one entry: whoever mends these can ask again."""


class Setting(NamedTuple):
    """What two cells must share to be compared: all but the defense and its budget."""

    conditions: str
    identity: str
    seed: int
    base: str
    attack: str
    countermeasures: str


@dataclass
class Findings:
    """What was found in an entry.

    Attributes:
        problems: errors, at most `MOST`.
        warnings: what its numbers cannot show.
        statuses: status -> number of cells.
    """

    problems: list[Problem] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    statuses: Counter[str] = field(default_factory=Counter)


Leaks = dict[Setting, dict[tuple[str, float], float]]
"""Setting -> (defense, budget) -> ILR, of all ok cells of an attack on a person's own photos."""


def check(records: Iterable[Record], entry: Entry, file: str) -> Findings:
    """Read all records once.

    Raises:
        BadEntry: a record cannot be read at all.
    """
    found = Findings()
    protocols: set[str] = set()
    versions: set[str] = set()
    leaks: Leaks = defaultdict(dict)
    unusual: dict[str, None] = {}
    agreement = Agreement()
    for record in records:
        found.statuses[record.status] += 1
        versions.add(str(record.protocol))
        protocols.add(json.dumps(record.provenance.get("protocol"), sort_keys=True))
        if len(unusual) < MOST:
            unusual |= dict.fromkeys(condition_text(name, value) for name, value in departures(record).items())
        where = f"{file}, cell {record.cell[:12]}"
        if len(found.problems) < MOST:
            found.problems += [Problem(where, name, message) for name, message in faults(record)]
            if record.status == "ok":
                found.problems += [Problem(where, name, message) for name, message in agreement.faults(record)]
        if record.status == "ok" and record.attack.name != "none" and not record.of_another_person:
            leaks[setting_of(record)][record.defense.name, record.defense.budget] = record.metrics.get("ilr") or 0.0
    found.problems += [Problem(file, name, message) for name, message in _whole(found.statuses, protocols)]
    if len(protocols) == 1 and "null" not in protocols and versions != {entry.protocol}:
        said = f"is of version {', '.join(versions)}, and entry.json says {entry.protocol}. Submit the run again."
        found.problems.append(Problem(file, "provenance.protocol", said))
    if found.statuses["ok"]:
        found.problems += [Problem(file, name, message) for name, message in _missing(leaks, entry.kind)]
    found.problems = found.problems[:MOST]
    found.warnings += map(clip, islice(_doubts(leaks), MOST))
    if unusual:
        apart = "such results get a board of their own, apart from those of the protocol."
        found.warnings.append(clip(f"not as protocol {PROTOCOL} has it: {', '.join(islice(unusual, MOST))}: {apart}"))
    return found


def setting_of(record: Record) -> Setting:
    """What a record shares with its controls."""
    shared = {name: value for name, value in conditions(record).items() if name != "seed"}
    return Setting(as_json(shared), record.identity, record.seed, record.base, attack_key(record), chain_key(record))


def _whole(statuses: Counter[str], protocols: set[str]) -> Iterator[tuple[str, str]]:
    if not statuses:
        yield WHOLE, "holds no records. Give the folder of a finished run, the one that holds cells/."
    elif not statuses["ok"]:
        yield "status", "no cell is ok. Mend what the records' reasons name, and run again."
    if "null" in protocols:
        yield "provenance.protocol", "is missing. Run again with this version."
    if len(protocols) > 1:
        yield "provenance.protocol", f"{len(protocols)} protocols cannot be compared. Make an entry of each."


def _missing(leaks: Leaks, kind: Kind) -> Iterator[tuple[str, str]]:
    """Controls and methods that are not there."""
    lacking: dict[tuple[str, float, str], list[str]] = defaultdict(list)
    for setting, arms in leaks.items():
        budgets = {budget for name, budget in arms if name not in CONTROLS}
        needed = {("none", 0.0), *(("noise", budget) for budget in budgets)} if budgets else set()
        for name, budget in needed - arms.keys():
            lacking[name, budget, json.loads(setting.attack)[0]].append(f"{setting.identity}, seed {setting.seed}")
    for (name, budget, attack), people in sorted(lacking.items()):
        dose = f" at budget {budget:g}" if name == "noise" else ""
        few = "; ".join(people[:3]) + (f" and {len(people) - 3} more" if len(people) > 3 else "")
        yield (
            "defense",
            f"the control {name!r}{dose} against {attack} is missing (or not ok) for {few}. "
            "Every cloak needs both controls in its own setting: run with controls=[none,noise], into the same folder.",
        )
    names = {name for arms in leaks.values() for name, _ in arms}
    if kind == "defense" and names <= set(CONTROLS):
        yield "defense", "only controls are here. Run with defense=<yours>, or submit with --kind break or reference."
    if kind == "break" and not leaks:
        yield "attack", "a break needs an attack, or a countermeasure in front of one. Run with attack=<yours>."


def _doubts(leaks: Leaks) -> Iterator[str]:
    people = {(setting.conditions, setting.identity) for setting in leaks}
    needed = fewest_people()
    if len(people) < needed:
        yield f"{len(people)} people: no test can separate methods with fewer than {needed}. Run with data.limit=0."
    means: dict[tuple[str, ...], dict[tuple[str, float], list[float]]] = defaultdict(lambda: defaultdict(list))
    for setting, arms in leaks.items():
        for arm, leak in arms.items():
            means[setting.conditions, setting.base, setting.attack, setting.countermeasures][arm].append(leak)
    for (_, base, attack, chain), found in means.items():
        steps = [name for name, _ in json.loads(chain)]
        where = " after ".join([json.loads(attack)[0], *(["+".join(steps)] if steps else [])]) + f" on {base}"
        average = {arm: fmean(values) for arm, values in found.items()}
        clean = average.get(("none", 0.0))
        if clean is not None and (problem := weakness(clean)):
            yield f"{where} {problem}"
        for (name, budget), leak in average.items():
            if name not in CONTROLS and average.get(("noise", budget), 2) <= leak:
                yield f"noise protects as well as {name} {budget:g}/255 against {where}."
