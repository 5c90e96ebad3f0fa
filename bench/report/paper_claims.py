"""A paper's tables beside what was measured here, and which of its claims hold.

Published numbers (`bench.report.published`) come from other models and photos and cannot be compared by
size, only by what they claim. Claims are checked person by person, all comparisons of a table's claims as one family of
`bench.stats.max_t`: a claim holds if all its differences are shown to be on its side of zero, and fails if one is shown
to be on the other. No claim holds of a cloak that is not shown to beat noise, where there is noise.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from statistics import fmean
from typing import Literal

import numpy as np

from bench.core.names import natural
from bench.report import formats
from bench.report.published import Claim, Paper, PaperTable
from bench.results.arms import arms as divided
from bench.results.labels import ConditionLabels, attack_key, chain_key, method_names
from bench.results.record import Record
from bench.stats import mean_interval
from bench.stats.comparison import adjusted
from bench.stats.max_t import least_p
from bench.stats.variance import ALPHA

METRIC = "ism_zero"
HEAD = ("arm", "people", "FDR, paper", "FDR here", "ISM, paper", "ISM0 here", "ILR here")

Verdict = Literal["holds", "fails", "undecided", "not measured"]


CONTROLS = {"none", "noise"}
"""Arms that say nothing by themselves."""
People = dict[str, dict[str, float]]
"""Person -> metric -> value."""


def report(paper: Paper, records: Sequence[Record]) -> str:
    """Markdown: for each table and budget, the published figures beside ours, and the claims with their verdicts."""
    lines = [f"# {paper.title}, measured here", ""]
    for table in paper.tables:
        groups = grouped(paper, table, [r for r in records if r.status == "ok"])
        lines += [f"## {table.title}", ""]
        if not groups:
            lines += ["Not measured.", ""]
        for (base, budget), arms in groups.items():
            lines += [f"{base}, budget {budget}:", "", *_table(table, arms), "", *_claims(table, arms), ""]
    return "\n".join(lines)


def grouped(paper: Paper, table: PaperTable, records: Sequence[Record]) -> dict[tuple[str, str], dict[str, People]]:
    """(base, budget) -> arm -> people. Unequal published budgets (7, and 7 + 11) are one group, "as published".

    Where the records were made under several conditions, or with several settings of the attack or countermeasures, the
    base is named with them.
    """
    covered = [record for record in records if table.covers(record)]
    place = _places(covered)
    bases = {place(record) for record in covered if record.surrogates}
    found: dict[tuple[str, str], dict[str, list[Record]]] = defaultdict(lambda: defaultdict(list))
    clean: dict[str, list[Record]] = defaultdict(list)
    for record in covered:
        arm = next((label for label, selector in paper.arms.items() if selector.fits(record)), None)
        if arm == "none":
            clean[place(record)].append(record)
        elif arm is not None and place(record) in bases:
            found[place(record), paper.arms[arm].budget(record)][arm].append(record)
    for (base, _), arms in found.items():
        if base in clean:
            arms["none"] = clean[base]
    ordered = sorted(found, key=lambda key: [natural(word) for word in key])  # 8 before 16
    return {
        key: {name: people for arm, group in found[key].items() for name, people in _people(arm, group)}
        for key in ordered
        if found[key].keys() - CONTROLS
    }


def _places(records: Sequence[Record]) -> Callable[[Record], str]:
    """What names the base that a record is of, with what differs between the records of it."""
    labels = ConditionLabels(records, but=("on", "data", "seed"))
    attacks, chains = method_names({attack_key(r) for r in records}), method_names({chain_key(r) for r in records})

    def place(record: Record) -> str:
        attack, chain = attacks[attack_key(record)], chains[chain_key(record)]
        parts = [*labels.texts(record)]
        parts += [attack] if len(set(attacks.values())) > 1 else []
        parts += [] if chain == "none" else [f"after {chain}"]
        return f"{record.base} ({', '.join(parts)})" if parts else record.base

    return place


def _people(arm: str, records: Sequence[Record]) -> Iterator[tuple[str, People]]:
    """The arm and its people; or several arms, if its records differ in settings and somebody is in two of them."""
    single = {(r.data, r.identity, r.seed) for r in records}
    groups = {arm: records}
    if len(single) < len(records):
        groups = {f"{arm}: {each.label}": each.records for each in divided(records)}
    for name, group in groups.items():
        people: dict[str, list[dict[str, float]]] = defaultdict(list)
        for r in group:
            people[f"{r.data}/{r.identity}"].append(_figures(r))
        yield name, {person: _over_seeds(figures) for person, figures in people.items()}


def _over_seeds(several: Sequence[dict[str, float]]) -> dict[str, float]:
    """Means of the metrics that there are of every seed."""
    return {name: fmean(each[name] for each in several) for name in several[0] if all(name in each for each in several)}


@dataclass(frozen=True)
class Checked:
    """A claim, and what was measured of it.

    Attributes:
        verdict: on it.
        why: if it is undecided, and more is known.
        differences: rival -> (mean difference, its 95 % interval).
    """

    verdict: Verdict
    why: str
    differences: dict[str, tuple[float, float, float]]


def checked(claims: Sequence[Claim], arms: dict[str, People]) -> list[Checked]:
    """Whether claims of one table hold, each against all that it names."""
    noise = arms.get("noise", {})
    cloaks = {arm: people for arm, people in arms.items() if arm not in CONTROLS}
    against_noise = {arm: _differences(noise, people, 1.0) for arm, people in cloaks.items() if noise}
    lesser = {arm for arm, p in adjusted(against_noise, two_sided=False).items() if p < ALPHA}
    idle = set(against_noise) - lesser
    asked = {
        (number, rival): _differences(arms.get(claim.ours, {}), arms.get(rival, {}), claim.factor)
        for number, claim in enumerate(claims)
        for rival in claim.than
    }
    family = {(n, rival): values for (n, rival), values in asked.items() if not _is_noise(claims[n], rival)}
    shown = {key for key, p in adjusted(family).items() if p < ALPHA}
    shown |= {(n, rival) for n, rival in asked.keys() - family.keys() if claims[n].ours in lesser}
    return [
        _checked(claim, {r: asked[n, r] for r in claim.than}, {r for r in claim.than if (n, r) in shown}, idle)
        for n, claim in enumerate(claims)
    ]


def _is_noise(claim: Claim, rival: str) -> bool:
    """Whether it is asked already, and in one direction, if a cloak beats noise."""
    return rival == "noise" and claim.factor == 1


def _differences(ours: People, theirs: People, factor: float) -> dict[str, float]:
    return {person: ours[person][METRIC] - factor * theirs[person][METRIC] for person in ours if person in theirs}


def _checked(claim: Claim, asked: dict[str, dict[str, float]], shown: set[str], idle: set[str]) -> Checked:
    measured = {rival: list(values.values()) for rival, values in asked.items() if len(values) > 1}
    found = {rival: (fmean(values), *mean_interval(values)) for rival, values in measured.items()}
    if not found:
        return Checked("not measured", "", {})
    if any(found[rival][0] > 0 for rival in shown):
        return Checked("fails", "", found)
    for rival, values in measured.items():
        if least_p(len(values), two_sided=not _is_noise(claim, rival)) >= ALPHA:
            return Checked("undecided", f"{len(values)} people cannot show it", found)
    if claim.ours in idle:
        return Checked("undecided", f"{claim.ours} is not shown to beat noise", found)
    return Checked("holds" if shown == set(claim.than) else "undecided", "", found)


def _figures(record: Record) -> dict[str, float]:
    known = {name: value for name, value in record.metrics.items() if value is not None}
    return known | {"fdr": 1 - known["fdfr"]}


def _table(table: PaperTable, arms: dict[str, People]) -> list[str]:
    def mean(arm: str, metric: str) -> str:
        values = [figures[metric] for figures in arms.get(arm, {}).values()]
        return f"{np.mean(values):.2f}" if values else "-"

    def published(arm: str, metric: str) -> str:
        value = table.published.get(arm, {}).get(metric)
        return "-" if value is None else f"{value:.3f}"

    lines = []
    for arm in [*table.published, *(arm for arm in arms if arm not in table.published)]:
        figures = (published(arm, "fdr"), mean(arm, "fdr"), published(arm, "ism"), mean(arm, METRIC), mean(arm, "ilr"))
        lines.append([arm, str(len(arms.get(arm, {}))), *figures])
    return formats.markdown_table(HEAD, lines)


def _claims(table: PaperTable, arms: dict[str, People]) -> list[str]:
    lines = []
    for claim, result in zip(table.claims, checked(table.claims, arms), strict=True):
        times = "" if claim.factor == 1 else f"{claim.factor:g} x "
        shown = "; ".join(
            f"{claim.ours} - {times}{rival}: {mean:+.3f} ({low:+.3f} to {high:+.3f})"
            for rival, (mean, low, high) in result.differences.items()
        )
        why = f" ({result.why})" if result.why else ""
        lines.append(f"- **{result.verdict}**{why}: {claim.text}" + (f" (ISM0 {shown})" if shown else ""))
    return lines
