"""What the page of one row says: the method, its numbers by attack, what failed, how to repeat it, where it is from."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Mapping
from typing import Any

from bench.results.record import MethodFacts
from bench.results.seen import seen_text
from bench.stats import mean_interval
from leaderboard.entries.reader import Result
from leaderboard.site.board import ASIDE, SIGHT, Cell, Place, Row
from leaderboard.site.measures import MEASURES
from leaderboard.site.page_data import Layout, mean, scores, typical

Spot = tuple[int | None, int | None]
"""Attack and countermeasures, by number."""
EVERYWHERE: Spot = (None, None)
"""That of the base, which stands for all others."""
FAILURES = 50
"""Cells that are listed one by one, at most."""
CONTROL_TEXTS = {
    "base": "The base model without personalisation: what it draws when nobody told it who to draw.",
    "another person": "The attack on another person's photos: what passes for this person by chance.",
    "none": "No cloak. What the attack leaks when nothing stands in its way.",
    "noise": "Random noise of the same budget. A cloak that is no better protects by being noise.",
    "jpeg": "JPEG compression only, within the budget.",
    "placebo": "Another person's cloak, of the same budget. A cloak that is no better is not about the person.",
}


PICTURED = {"clean": "photo", "cloaked": "cloaked", "difference": "change x 8", "generated": "generated"}
"""Groups of a sprite that a row's page shows, and their names there."""
GENERATED = 6
"""Generated pictures that it shows of an attack, at most."""


def facts(layout: Layout, row: Row, results: Mapping[str, Result], pictures: Mapping[str, Any]) -> dict[str, Any]:
    """Everything the template needs; `pictures` as of `page_data.picture_data`."""
    record, cells = row.record, row.all()
    own = [cell for found in row.own().values() for cell in found]
    result = results[row.entry] if row.entry else None
    entry = result.entry if result else None
    name = record.defense.name
    card = entry.card.get(name) if entry else None
    text = CONTROL_TEXTS[row.label if row.label in ASIDE else name] if row.control else ""
    return {
        "group": layout.group,
        "label": layout.labels[row.key],
        "control": row.control,
        "entry": entry,
        "verified": sum(cell.verified for cell in cells),
        "description": card.description if card else text,
        "paper": card.paper if card else "",
        "breaks": [found for other in row.others() if (found := results[other]).entry.kind == "break"],
        "settings": {"budget": record.defense.budget, **record.defense.config},
        "surrogates": record.surrogates,
        "attacks": layout.attacks,
        "controls": list(_controls(layout, row)),
        "table": _table(layout, row),
        "strips": _strips(layout, row, pictures),
        "people": _people(layout, row),
        "seconds": typical([cell.seconds for cell in own]),
        "megabytes": mean([cell.megabytes for cell in own]),
        "evaluations": mean([cell.evaluations for cell in own]),
        "published": card.evaluations if card else None,
        "sight": {name: mean([cell.metrics.get(name) for cell in own]) for name in SIGHT},
        "failures": [_failure(layout, row, place, c) for place, found in row.cells.items() for c in found if c.reason][
            :FAILURES
        ],
        "failed": sum(cell.status != "ok" for cell in cells),
        "total": len(cells),
        "provenance": record.provenance,
        "warnings": _warnings(row, own),
    }


def _table(layout: Layout, row: Row) -> list[dict[str, Any]]:
    """One line per attack and countermeasure: the mean of every measure, the first one's interval, and the people.

    Beside it the same of the controls, and of a cloak what of the attack it was made against.
    """
    beside = [_first_means(layout, control) for control in _controls(layout, row).values()]
    found: dict[Spot, list[dict[str, Any]]] = defaultdict(list)
    by: dict[Spot, set[tuple[str, bool]]] = defaultdict(set)
    against: dict[int, str] = {}
    for place, cells in row.cells.items():
        attack, chain, _ = layout.numbers(row, place)
        found[attack, chain].append(scores(cells))
        by[attack, chain] |= {(cell.entry, cell.verified) for cell in cells}
        if attack is not None and attack not in against:
            against[attack] = "" if row.control else _made_against(row, place)
    known = {spot: _summary(values) | {"by": sorted(by[spot])} for spot, values in found.items()}
    return [
        {
            "attack": name,
            "chain": after,
            "against": against.get(attack, ""),
            "controls": [means.get((attack, chain), means.get(EVERYWHERE)) for means in beside],
            **summary,
        }
        for attack, name in enumerate(layout.attacks)
        for chain, after in enumerate(layout.chains)
        if (summary := known.get((attack, chain), known.get(EVERYWHERE)))
    ]


def _controls(layout: Layout, row: Row) -> dict[str, Row]:
    """Name -> the control that stands beside a row: its own entry's, else everybody's; noise at its budget alone."""
    found: dict[str, Row] = {}
    for control in sorted(layout.rows, key=lambda other: other.entry == row.entry):
        if not control.control or control is row or control.entry not in ("", row.entry):
            continue
        if control.label in ("base", "clean"):
            found[control.label] = control
        elif control.record.defense.name == "noise" and control.record.defense.budget == row.record.defense.budget:
            found["noise"] = control
    return {name: found[name] for name in ("base", "noise", "clean") if name in found}


def _first_means(layout: Layout, row: Row) -> dict[Spot, float | None]:
    """The mean of the first measure, by attack and countermeasures."""
    values: dict[Spot, list[float | None]] = defaultdict(list)
    for place, cells in row.cells.items():
        attack, chain, _ = layout.numbers(row, place)
        values[attack, chain].append(scores(cells)[MEASURES[0].key])
    return {spot: mean(found) for spot, found in values.items()}


def _strips(layout: Layout, row: Row, pictures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Pictures of the first person of whom there are any, attack by attack, above those without a cloak."""
    clean = _controls(layout, row).get("clean")
    numbered = {layout.numbers(row, place) for place in row.cells}
    spots = sorted((p, a, c) for a, c, p in numbered if a is not None and c is not None)
    shown = [(spot, strip) for spot in spots if (strip := _strip(layout, row, spot, pictures))]
    found = []
    for (person, attack, chain), strip in shown:
        if person != shown[0][0][0]:
            break
        after = "" if layout.chains[chain] == "none" else f" after {layout.chains[chain]}"
        title = f"{layout.people[person]}, {layout.attacks[attack]}{after}"
        found.append({"title": title, "figures": strip})
        if clean and (plain := _strip(layout, clean, (person, attack, chain), pictures)):
            found.append({"title": f"{title}, without a cloak", "figures": plain[-1:]})
    return found


def _strip(layout: Layout, row: Row, spot: tuple[int, int, int], pictures: Mapping[str, Any]) -> list[dict[str, Any]]:
    """What is shown of a cell: groups of tiles of its sprite."""
    person, attack, chain = spot
    where = (layout.group.id, layout.rows.index(row), attack, chain, person)
    sprite = pictures.get(" ".join(map(str, where)))
    if sprite is None:
        return []
    most = dict.fromkeys(PICTURED, 1) | {"generated": GENERATED}
    return [
        {
            "words": words,
            "file": sprite["file"],
            "of": sprite["count"],
            "tiles": range(
                sprite["groups"][name][0], sprite["groups"][name][0] + min(sprite["groups"][name][1], most[name])
            ),
        }
        for name, words in PICTURED.items()
        if name in sprite["groups"]
    ]


def _summary(values: list[dict[str, Any]]) -> dict[str, Any]:
    """Of some people's scores: the mean of every measure, the first one's interval, and how many people they are."""
    known = {m.key: [v[m.key] for v in values if v[m.key] is not None] for m in MEASURES}
    first, bounds = known[MEASURES[0].key], (MEASURES[0].low, MEASURES[0].high)
    return {
        "means": [mean(known[m.key]) for m in MEASURES],
        "interval": mean_interval(first, bounds=bounds) if len(first) > 1 else None,
        "people": len(first),
    }


def _made_against(row: Row, place: Place) -> str:
    """What of the attack at a place the row's cloak was made against."""
    label, config = json.loads(place[0])
    attack = MethodFacts(name=label.partition(" (")[0], config=config)
    return seen_text([row.record.model_copy(update={"attack": attack})])


def _people(layout: Layout, row: Row) -> list[tuple[str, list[float | None]]]:
    """Person -> the first measure, by attack, without countermeasures or with the first."""
    key, chain = MEASURES[0].key, layout.chains.index("none") if "none" in layout.chains else 0
    values = {layout.numbers(row, place): scores(found)[key] for place, found in row.cells.items()}
    return [
        (name, [values.get((a, chain, p), values.get((*EVERYWHERE, p))) for a in range(len(layout.attacks))])
        for p, name in enumerate(layout.people)
    ]


def _failure(layout: Layout, row: Row, place: tuple[str, str, str], cell: Cell) -> tuple[str, str, str, str]:
    attack, chain, person = layout.numbers(row, place)
    if attack is None or chain is None:
        return layout.people[person], "none", cell.status, cell.reason
    after = "" if layout.chains[chain] == "none" else f" after {layout.chains[chain]}"
    return layout.people[person], layout.attacks[attack] + after, cell.status, cell.reason


def _warnings(row: Row, cells: list[Cell]) -> list[str]:
    found = []
    budget = row.record.defense.budget
    over = [cell for cell in cells if cell.metrics.get("linf", 0) > budget]
    if over and row.label not in ("base", "clean", "another person"):
        found.append(f"{len(over)} cells change a pixel by more than the budget of {budget:g} grey levels.")
    if not row.control and cells and all(cell.metrics.get("linf", 1) == 0 for cell in cells):
        found.append("The cloaked photos are equal to the clean ones.")
    if len({person for _, _, person in row.cells}) < 5:
        found.append("Fewer than five people: no difference to another row can be shown.")
    return found
