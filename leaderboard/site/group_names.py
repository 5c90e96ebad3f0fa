"""What groups of one data set and base are called: by that in which they differ, never by when they were submitted."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from bench.results import standard
from bench.results.conditions import differing
from bench.results.labels import condition_text

if TYPE_CHECKING:
    from leaderboard.site.board import Group


def apart(group: Group, alike: Sequence[Group]) -> str:
    """What sets a group apart from others of its title, itself among them: "steps 2", "photos f4892f82, 12 people"."""
    rows = {other.id: _stated(other) for other in alike}
    cut = {name for other in alike for name in _cut(other)}
    stated = rows[group.id]
    names = [name for name in differing(rows.values(), cut) if name in stated]
    if any("entry" in row for row in rows.values()) and "entry" in stated:
        names = [*names, "entry"]
    return ", ".join(_text(name, stated[name], group) for name in dict.fromkeys(names))


def _stated(group: Group) -> dict[str, Any]:
    """The group's facts one by one, with what the protocol says of the base."""
    facts = {name: value for name, value in group.facts.items() if name not in ("protocol", "sampler", "base")}
    protocol = group.facts["protocol"]
    usual = standard.sampler(group.version[0], group.facts["base"])
    sampler = {"steps": "unknown"} | usual | group.facts.get("sampler", {})
    asked = dict(protocol) if isinstance(protocol, dict) else {"prompts": protocol}
    asked.pop("version", None)  # the entry's own says it
    return {**facts, "on": group.facts["base"], **asked, **sampler, **_cut(group)}


def _cut(group: Group) -> dict[str, Any]:
    """By which settings its photos were cut, if a record states it."""
    return next((row.record.data_config for row in group.rows.values() if row.record.data_config), None) or {}


def _text(name: str, value: Any, group: Group) -> str:
    if name == "entry":
        return f"{value} alone, which contradicts what is known of the same cells"
    said = condition_text({"version": "protocol"}.get(name, name), value)
    return f"{said}, {group.people} people" if name == "photos" else said
