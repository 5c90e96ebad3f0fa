"""Method cards: what the registries say of the methods of some records, copied so that a page need not import them."""

from __future__ import annotations

import inspect
from collections.abc import Iterable
from pkgutil import resolve_name
from typing import Any

from bench.core.errors import BenchError
from bench.core.plugins import import_plugins
from bench.core.registry import Registry
from bench.results.record import Record
from leaderboard.entries.entry import MethodCard

# By name, as plug-ins are: the leaderboard builds its pages without any method or torch, and only this asks them.
REGISTRIES = {
    "defense": "defenses:DEFENSES",
    "attack": "attacks:ATTACKS",
    "countermeasure": "countermeasures:COUNTERMEASURES",
}


def cards(records: Iterable[Record], plugins: Iterable[str]) -> tuple[dict[str, MethodCard], list[str]]:
    """The card of every method that has one, and the names of those that are not registered.

    Args:
        records: of a run.
        plugins: files or modules with methods that the run used.

    Raises:
        BenchError: a plug-in does not import.
    """
    used = set()
    for record in records:
        used |= {("defense", record.defense.name), ("attack", record.attack.name)}
        used |= {("countermeasure", step.name) for step in record.countermeasure}
    import_plugins(plugins)
    found: dict[str, MethodCard] = {}
    unknown = []
    for kind, name in sorted(used):
        registry: Registry[Any] = resolve_name(REGISTRIES[kind])
        try:
            method = registry.get(name)
        except BenchError:
            unknown.append(name)
            continue
        if name != "none":  # three methods have this name, and none of them needs a card
            description = (inspect.getdoc(method) or "").partition("\n")[0]
            paper = str(getattr(method, "paper", ""))
            found[name] = MethodCard(
                description=description[:500], paper=paper[:500], evaluations=_published_evaluations(method)
            )
    return found, unknown


def _published_evaluations(method: Any) -> int | None:
    """What an iterative defense takes with its settings for bases of full size, which are the published ones."""
    if not getattr(method, "loop", ""):
        return None
    try:
        effort: int | None = method().resolved("sd").effort
    except TypeError:  # a plug-in with settings that have no default
        return None
    return effort
