"""What the page loads: groups as plain values, cells as columns of small integers.

A hundred thousand cells must load within a second, so there is no object per cell: the page finds cell i in entry i of
every column. The base was not attacked: it has one cell of each person, whatever the attack and the countermeasures.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median
from typing import Any

from bench.core.hashing import hash_of
from bench.core.names import natural
from bench.results.labels import distinguishing_settings, method_names, setting_text
from bench.results.standard import BASES
from bench.stats.rule import CONTROLS
from leaderboard.entries.entry import MethodCard
from leaderboard.entries.reader import Result
from leaderboard.site.board import ASIDE, SIGHT, Cell, Group, Key, Place, Row, surrogates_apart
from leaderboard.site.citation import citation
from leaderboard.site.measures import HALVES, MEASURES, SCALE

Settings = dict[tuple[str, ...], Any]
Cards = Mapping[str, Mapping[str, MethodCard]]
"""Entry -> method -> what it says of it."""
NO_CARD = MethodCard(description="", paper="")


class Layout:
    """A group with everything in it numbered.

    Attributes:
        rows: controls first.
        labels: key of a row -> what it is called, with what sets it apart from rows of the same name.
        series: the same without the budget: rows that differ in nothing else make a curve.
        people: names.
        attacks, chains: names, in the order of their numbers.
        sources: entries that brought cells, and whether the maintainers ran these.
    """

    def __init__(self, group: Group) -> None:
        self.group = group
        self.rows = sorted(group.rows.values(), key=_order)
        tried = {place: cells for row in self.rows if row.label != "base" for place, cells in row.cells.items()}
        ran = [place for place, cells in tried.items() if source(cells)[1]]
        attacks, chains = (_names({p[i] for p in tried}, {p[i] for p in ran}) for i in (0, 1))
        self.labels = _labels(self.rows, lambda row: row.label)
        self.series = _labels(self.rows, lambda row: row.record.defense.name)
        self.people = sorted({person for row in self.rows for _, _, person in row.cells}, key=natural)
        self.attacks, self.chains = list(attacks.values()), list(chains.values())
        self.sources = sorted({source(found) for row in self.rows for found in row.cells.values()})
        self._number = [{key: i for i, key in enumerate(keys)} for keys in (attacks, chains, self.people)]

    def numbers(self, row: Row, place: Place) -> tuple[int | None, int | None, int]:
        """Attack, countermeasures and person of a cell. The base has only a person: it stands for all of the others."""
        attacks, chains, people = self._number
        person = people[place[2]]
        return (None, None, person) if row.label == "base" else (attacks[place[0]], chains[place[1]], person)


def page_data(layouts: Sequence[Layout], results: Sequence[Result]) -> dict[str, Any]:
    """Everything the page knows, but the pictures."""
    first = {layout.group.title: layout.group.id for layout in reversed(layouts)}
    cards = {result.entry.id: result.entry.card for result in results}
    return {
        "measures": [measure.facts() for measure in MEASURES],
        "scale": SCALE,
        "entries": {result.entry.id: entry_facts(result, results) for result in results},
        "groups": [_group(layout, first[layout.group.title] == layout.group.id, cards) for layout in layouts],
    }


def entry_facts(result: Result, results: Sequence[Result]) -> dict[str, Any]:
    """What is shown of an entry."""
    entry = result.entry
    corrections = [r.entry.id for r in results if r.maintained and r.entry.amends == entry.id]
    kept = ("id", "kind", "title", "authors", "paper", "code", "licence", "amends")
    return {
        **{name: getattr(entry, name) for name in kept},
        "submitted": entry.submitted.isoformat(),
        "verified": result.trusted,
        "superseded_by": next(iter(corrections), None),
    }


def picture_data(layouts: Sequence[Layout], results: Sequence[Result]) -> dict[str, Any]:
    """Place on the page -> which file shows it, of the cells whose pictures may be shown."""
    sprites = {result.entry.id: result.sprites() for result in results}
    found = {}
    for layout in layouts:
        for number, row in enumerate(layout.rows):
            for place, cells in row.cells.items():
                shown = next((c for c in cells if c.name in sprites[c.entry]), None)
                if shown is None:
                    continue
                sprite = sprites[shown.entry][shown.name]
                where = [str(n) for n in (number, *layout.numbers(row, place)) if n is not None]
                found[" ".join([layout.group.id, *where])] = {
                    "file": picture_file(shown.entry, shown.name),
                    "count": sprite.count,
                    "groups": sprite.groups,
                }
    return found


def picture_file(entry: str, cell: str) -> str:
    """Where the site keeps the pictures that an entry brought of a cell."""
    return f"images/{entry}/{cell}.webp"


def _group(layout: Layout, current: bool, cards: Cards) -> dict[str, Any]:
    group = layout.group
    return {
        "id": group.id,
        "name": group.name,
        "current": current,
        "facts": group.facts,
        "invented": group.invented,
        "scope": _scope(group),
        "threshold": group.threshold,
        "sources": [{"entry": entry, "verified": verified} for entry, verified in layout.sources],
        "people": layout.people,
        "attacks": layout.attacks,
        "cited": {name: citation(_card(layout, name, cards)) for name in _methods(layout)},
        "chains": layout.chains,
        "rows": [_row(layout, row, cards) for row in layout.rows],
        "cells": _cells(layout),
    }


def _methods(layout: Layout) -> list[str]:
    """Of every attack the method that it is, whatever its settings, once each."""
    return list(dict.fromkeys(attack.partition(" (")[0] for attack in layout.attacks))


def _card(layout: Layout, method: str, cards: Cards) -> MethodCard:
    """What the first entry says of a method that has a card of it, those that the maintainers ran before others."""
    told = sorted(layout.sources, key=lambda source: not source[1])
    return next((found for entry, _ in told if (found := cards.get(entry, {}).get(method))), NO_CARD)


def _scope(group: Group) -> str:
    """What else its numbers say nothing about."""
    base = BASES.get(group.facts["base"], {}) | group.facts.get("sampler", {})
    if base.get("family") != "facelet":
        return ""
    return f"Small {base['resolution']} px model; says nothing about Stable Diffusion."


def _order(row: Row) -> tuple[int, str, float, Any]:
    name = row.label if row.label in ASIDE else row.record.defense.name
    first = (*ASIDE, *CONTROLS, name).index(name)
    return first, row.record.defense.name, row.record.defense.budget, row.key


def _names(keys: set[str], ran: set[str]) -> dict[str, str]:
    """Keys and names by name, that of no countermeasure first; what the maintainers `ran` shares its name with nothing.

    Methods have one name if their settings are the same but for one that only some of them state.
    """
    names = method_names(sorted(keys))
    often = Counter(names.values())
    unique = {k: n if often[n] == 1 or k in ran else f"{n} {hash_of(k)[:8]}" for k, n in names.items()}
    return dict(sorted(unique.items(), key=lambda item: (item[1] != "none", natural(item[1]))))


def _labels(rows: Sequence[Row], name: Callable[[Row], str]) -> dict[Key, str]:
    """Key of a row -> its name, and what sets it apart from others of that name: settings, or whose it is."""
    alike: dict[str, list[tuple[Row, Settings]]] = defaultdict(list)
    for row in rows:
        settings = {**row.record.defense.config, "surrogates": row.record.surrogates}
        settings |= {"surrogate models": used} if (used := surrogates_apart(row.record)) else {}
        alike[name(row)].append((row, {(setting,): value for setting, value in settings.items()}))
    found = {}
    for called, several in alike.items():
        named = distinguishing_settings([settings for _, settings in several])
        apart = {
            row.key: [f"{key[0]} {setting_text(value)}" for key, value in own.items() if named.names(key, value)]
            for row, own in several
        }
        for row, _ in several:  # rows may be alike though their settings are not: one has a setting of a later version
            own = apart[row.key]
            whose = {other.entry for other, _ in several if apart[other.key] == own}
            parts = [*own, f"by {row.entry}"] if len(whose) > 1 and row.entry else own
            found[row.key] = f"{called} ({', '.join(parts)})" if parts else called
    return found


def _row(layout: Layout, row: Row, cards: Cards) -> dict[str, Any]:
    cells = [cell for found in row.own().values() for cell in found]
    cloaked, card = row.label != "base", cards.get(row.entry, {}).get(row.record.defense.name, NO_CARD)
    return {
        "id": row.id,
        "label": layout.labels[row.key],
        "series": layout.series[row.key],
        "name": row.label,
        "defense": row.record.defense.name,
        "cited": citation(card),
        "budget": row.record.defense.budget if cloaked else None,
        "control": row.control,
        "entry": row.entry,
        "others": row.others(),
        "bad": sum(cell.status != "ok" for cell in cells),
        "seconds": typical([cell.seconds for cell in cells]) if cloaked else None,
        "evaluations": mean([cell.evaluations for cell in cells]) if cloaked else None,
        "published": card.evaluations,
        "sight": {name: _by_person(row, name, layout.people) if cloaked else None for name in SIGHT},
    }


def _by_person(row: Row, metric: str, people: Sequence[str]) -> list[float | None]:
    """(people,) a metric of each person's cloaked photos, the same in all cells."""
    values = {
        person: cell.metrics[metric]
        for (_, _, person), found in row.own().items()
        for cell in found
        if metric in cell.metrics
    }
    return [round(values[person], 4) if person in values else None for person in people]


def _cells(layout: Layout) -> dict[str, list[int | None]]:
    columns: dict[str, list[int | None]] = {name: [] for name in ("row", "attack", "chain", "person", "source")}
    kept = (*(measure.key for measure in MEASURES), *HALVES)
    columns |= {name: [] for name in kept}
    by = {each: number for number, each in enumerate(layout.sources)}
    for number, row in enumerate(layout.rows):
        for place, cells in row.cells.items():
            values = scores(cells)
            whole = [None if values[name] is None else round(values[name] * SCALE) for name in kept]
            numbers = (number, *layout.numbers(row, place), by[source(cells)])
            for column, value in zip(columns.values(), (*numbers, *whole), strict=True):
                column.append(value)
    return columns


def source(cells: Sequence[Cell]) -> tuple[str, bool]:
    """The entry that brought a place's cells, and whether the maintainers ran them all; of several, one that they did
    not."""
    least = min(cells, key=lambda cell: cell.verified)
    return least.entry, least.verified


def scores(cells: Iterable[Cell]) -> dict[str, Any]:
    """Metric, or half of the pictures -> its mean over seeds; None where no cell that is ok has it."""
    ok = [cell for cell in cells if cell.status == "ok"]
    halves = {half: mean([cell.halves[i] if cell.halves else None for cell in ok]) for i, half in enumerate(HALVES)}
    return {measure.key: mean([cell.metrics.get(measure.key) for cell in ok]) for measure in MEASURES} | halves


def typical(values: Sequence[float | None]) -> float | None:
    """The median of those there are: of wall times, which are many times too long where a machine had other work."""
    known = [value for value in values if value is not None]
    return median(known) if known else None


def mean(values: Sequence[float | None]) -> float | None:
    """Of those that are known; None if none is."""
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None
